import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { planKeyValueMemory } from './key-value-budget.ts'
import type { KeyValuePlan, KeyValueWish } from './key-value-budget.ts'
import { blockTokens, bytesPerToken } from './key-value-cache.ts'

const shape = { layers: 2, heads: 3, headSize: 4, contextLength: 1024, kvType: 'float32', kvInPlace: true } as const
const tokenBytes = bytesPerToken(shape).slot

const plan = (slotsOfBytes: number, wish: Partial<KeyValueWish> = {}): KeyValuePlan =>
  planKeyValueMemory(shape, { slots: 4, budgetBytes: slotsOfBytes * 1024 * tokenBytes, prefixReuse: true, ...wish })

test('as many slots as are wanted, and as many tokens for prefixes as for sequences', () => {
  expect(plan(100)).toEqual({ slots: 4, slotLength: 1024, blocks: (4 * 1024) / blockTokens })
  expect(plan(100, { prefixReuse: false })).toEqual({ slots: 4, slotLength: 1024, blocks: 0 })
  expect(plan(100, { slotLength: 100 })).toEqual({ slots: 4, slotLength: 100, blocks: 13 })
})

test('where memory is short, an eighth is kept for prefixes as long as there is a slot', () => {
  expect(plan(4)).toEqual({ slots: 3, slotLength: 1024, blocks: 1024 / blockTokens })
  expect(plan(4, { prefixReuse: false }).slots).toBe(4)
  expect(plan(1.1)).toEqual({ slots: 1, slotLength: 1024, blocks: Math.floor((0.1 * 1024) / blockTokens) })
  expect(plan(1)).toEqual({ slots: 1, slotLength: 1024, blocks: 0 })
})

test('where not one slot of the wanted length fits, there is a shorter one, unless it is of no use', () => {
  expect(plan(0.5)).toEqual({ slots: 1, slotLength: 512, blocks: 0 })
  expect(plan(0.25)).toEqual({ slots: 1, slotLength: 256, blocks: 0 })
  expect(() => plan(0.2)).toThrow(expect.objectContaining({ failure: 'start-failed' }))
  expect(() => planKeyValueMemory({ ...shape, layers: 32, heads: 32, headSize: 80 }, { slots: 1, budgetBytes: 3 * 2 ** 20, prefixReuse: true })).toThrow(
    'The KV cache of one sequence of 256 tokens takes 160 MiB, and the budget is 3 MiB.',
  )
  expect(() => plan(0.05, { slotLength: 64 })).toThrow('one sequence of 64 tokens')
})

test.each([{ slots: 0 }, { slots: 1.5 }, { slotLength: 0 }, { slotLength: 1025 }])('a wish that makes no sense is refused: %o', (wish) => {
  expect(() => plan(10, wish)).toThrow(RangeError)
})

test('a plan never takes more than the budget', () => {
  fc.assert(
    fc.property(
      fc.record({ slots: fc.integer({ min: 1, max: 40 }), slotLength: fc.integer({ min: 1, max: 1024 }), kvInPlace: fc.boolean(), prefixReuse: fc.boolean() }),
      fc.integer({ min: 256 * 2 * tokenBytes, max: 100 * 1024 * tokenBytes }),
      ({ kvInPlace, ...wish }, budgetBytes) => {
        const bytes = bytesPerToken({ ...shape, kvInPlace })
        const { slots, slotLength, blocks } = planKeyValueMemory({ ...shape, kvInPlace }, { ...wish, budgetBytes })
        expect(slots * slotLength * bytes.slot + blocks * blockTokens * bytes.block).toBeLessThanOrEqual(budgetBytes)
        expect(slots).toBeGreaterThanOrEqual(1)
      },
    ),
  )
})
