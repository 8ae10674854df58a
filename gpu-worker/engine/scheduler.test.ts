import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createScheduler } from './scheduler.ts'

/** Follows the moves that it is told as a cache would. */
function followed(slots: number) {
  const scheduler = createScheduler<number>(slots)
  const holds: (number | null)[] = Array.from({ length: slots }, () => null)
  const move = (made: { from: number; to: number } | null): void => {
    if (made === null) return
    expect(holds[made.to]).toBeNull()
    holds[made.to] = holds[made.from]!
    holds[made.from] = null
  }
  return {
    scheduler,
    prefill(): number | null {
      const prefilling = scheduler.prefilling()
      if (prefilling === null) return null
      const { sequence, slot } = prefilling
      expect([null, sequence]).toContain(holds[slot])
      holds[slot] = sequence
      return sequence
    },
    join: () => move(scheduler.join()),
    remove(sequence: number): void {
      const removed = scheduler.remove(sequence)
      if (removed.slot !== null) {
        expect(holds[removed.slot]).toBe(sequence)
        holds[removed.slot] = null
      }
      move(removed.move)
    },
    check(): void {
      const { decoding } = scheduler
      expect(holds.slice(0, decoding.length)).toEqual(decoding)
    },
  }
}

test('whatever happens, each sequence keeps its data and the decode batch has no gaps', () => {
  const action = fc.oneof(
    { weight: 3, arbitrary: fc.constant({ type: 'add' } as const) },
    { weight: 3, arbitrary: fc.constant({ type: 'prefill' } as const) },
    { weight: 3, arbitrary: fc.constant({ type: 'join' } as const) },
    { weight: 2, arbitrary: fc.nat(30).map((sequence) => ({ type: 'remove', sequence }) as const) },
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(action, { maxLength: 80 }), (slots, actions) => {
      const { scheduler, prefill, join, remove, check } = followed(slots)
      let added = 0
      const gone = new Set<number>()
      const started: number[] = []
      let current: number | null = null
      for (const next of actions) {
        if (next.type === 'add') scheduler.add(added++)
        else if (next.type === 'prefill') {
          current = prefill()
          if (current !== null && started.at(-1) !== current) started.push(current)
        } else if (next.type === 'join' && current !== null) {
          join()
          current = null
        } else if (next.type === 'remove' && next.sequence < added) {
          remove(next.sequence)
          gone.add(next.sequence)
          if (current === next.sequence) current = null
        }
        check()
        expect(scheduler.decoding.length).toBeLessThanOrEqual(slots)
      }
      // First come, first served.
      expect(started).toEqual(started.toSorted((a, b) => a - b))

      // All that is left runs to its end.
      const left = new Set(Array.from({ length: added }, (_, sequence) => sequence).filter((sequence) => !gone.has(sequence)))
      while (!scheduler.idle) {
        if (prefill() !== null) join()
        check()
        const sequence = scheduler.decoding[0]!
        expect(left.delete(sequence)).toBe(true)
        remove(sequence)
      }
      expect(left.size).toBe(0)
    }),
    { numRuns: 1000 },
  )
})

test('one prompt at a time, and none while all slots are taken', () => {
  const { scheduler, prefill, join, remove } = followed(2)
  for (const sequence of [1, 2, 3]) scheduler.add(sequence)
  expect(prefill()).toBe(1)
  expect(prefill()).toBe(1)
  join()
  expect(prefill()).toBe(2)
  join()
  expect(prefill()).toBeNull()
  remove(1)
  expect(prefill()).toBe(3)
  expect(scheduler.decoding).toEqual([2])
})

test('a sequence that is unknown or has gone may be removed again', () => {
  const { scheduler, remove } = followed(1)
  scheduler.add(1)
  remove(1)
  remove(1)
  remove(2)
  expect(scheduler.idle).toBe(true)
})
