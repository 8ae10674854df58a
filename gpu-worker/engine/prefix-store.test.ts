import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { blockTokens, createKeyValueCache } from './key-value-cache.ts'
import { createPrefixStore } from './prefix-store.ts'
import type { PromptPrefix } from './prefix-store.ts'

const shape = { layers: 1, heads: 1, headSize: 1, contextLength: 8 * blockTokens, kvType: 'float32', kvInPlace: true } as const

/** A prompt by its blocks: each number stands for a block of such tokens; `rest` more tokens follow. */
const promptOf = (blocks: readonly number[], rest = 1): number[] => [
  ...blocks.flatMap((block) => Array.from({ length: blockTokens }, () => block)),
  ...Array.from({ length: rest }, () => 99),
]

/** A store whose rows say which tokens and which scope they were computed from, as the rows of a model would. */
function openStore(blocks: number) {
  const cache = createKeyValueCache(shape, 2, { blocks })
  const store = createPrefixStore(cache, 'sha256:00')
  const identities = new Map<string, number>()
  const identity = (tokens: readonly number[], scope: string | undefined, position: number): number => {
    const key = JSON.stringify([tokens.slice(0, position + 1), scope ?? null])
    identities.set(key, identities.get(key) ?? identities.size + 1)
    return identities.get(key)!
  }
  const rows = cache.tensors[0]!.past
  /** Restores into a slot full of other rows, checks what came, and returns how many positions. */
  function restore(prefix: PromptPrefix, tokens: readonly number[], scope: string | undefined): number {
    cache.clear(1, shape.contextLength)
    const length = prefix.restore(1)
    expect(length).toBeLessThan(tokens.length)
    for (let position = 0; position < length; position++) expect(rows[cache.slotElements + position]).toBe(identity(tokens, scope, position))
    return length
  }
  function save(prefix: PromptPrefix, tokens: readonly number[], scope: string | undefined, length: number): void {
    for (let position = 0; position < length; position++) rows[position] = identity(tokens, scope, position)
    prefix.save(0, length)
  }
  return {
    store,
    restore,
    save,
    /** A prompt that runs through; returns how many of its blocks were known. */
    run(tokens: readonly number[], scope?: string): number {
      const prefix = store.open(tokens, scope)
      const known = restore(prefix, tokens, scope)
      save(prefix, tokens, scope, tokens.length)
      prefix.prove()
      return known / blockTokens
    },
    /** How many blocks of a prompt are known, which counts as a use. */
    known: (tokens: readonly number[], scope?: string): number => restore(store.open(tokens, scope), tokens, scope) / blockTokens,
  }
}

test('what a prompt shares with an earlier one is restored, in whole blocks', () => {
  const { run, known } = openStore(10)
  expect(run(promptOf([1, 2, 3], 5))).toBe(0)
  expect(known(promptOf([1, 2, 3]))).toBe(3)
  expect(known(promptOf([1, 2, 4]))).toBe(2)
  expect(known(promptOf([2, 3]))).toBe(0)
  expect(known(promptOf([1], 3))).toBe(1)
})

test('the last token is never restored, so that there is always a row to compute', () => {
  const { run, known } = openStore(10)
  run(promptOf([1, 2], 0))
  expect(known(promptOf([1, 2], 0))).toBe(1)
  expect(known(promptOf([1, 2], 1))).toBe(2)
  expect(known([1])).toBe(0)
})

test('scopes share with themselves alone', () => {
  const { run } = openStore(10)
  const prompt = promptOf([1, 2])
  expect(run(prompt)).toBe(0)
  expect(run(prompt, 'key_a')).toBe(0)
  expect(run(prompt, 'key_b')).toBe(0)
  expect(run(prompt, '')).toBe(0)
  for (const scope of [undefined, 'key_a', 'key_b', '']) expect(run(prompt, scope)).toBe(2)
})

test('the least recently used prefix gives way, its end first', () => {
  const { run, known, store } = openStore(4)
  run(promptOf([1, 2]))
  run(promptOf([3, 4]))
  expect(known(promptOf([3, 4]))).toBe(2)
  expect(known(promptOf([1, 2]))).toBe(2)
  run(promptOf([5]))
  expect(store.size).toBe(4)
  expect(known(promptOf([3, 4]))).toBe(1)
  expect(known(promptOf([1, 2]))).toBe(2)
  run(promptOf([6]))
  run(promptOf([7]))
  expect(known(promptOf([3, 4]))).toBe(0)
  expect(known(promptOf([1, 2]))).toBe(2)
  expect(store.size).toBe(4)
})

test('of a prompt that is larger than the store the beginning is kept', () => {
  const { run, known } = openStore(3)
  run(promptOf([8]))
  run(promptOf([1, 2, 3, 4, 5]))
  expect(known(promptOf([1, 2, 3, 4, 5]))).toBe(3)
  expect(known(promptOf([8]))).toBe(0)
})

test('a prompt that breaks off leaves nothing of its own, and one that goes wrong nothing at all', () => {
  const { run, known, save, store } = openStore(10)
  run(promptOf([1, 2]))
  const longer = promptOf([1, 2, 3, 4])
  const cancelled = store.open(longer, undefined)
  cancelled.restore(1)
  save(cancelled, longer, undefined, 3 * blockTokens)
  cancelled.abandon()
  expect(known(longer)).toBe(2)
  const failed = store.open(longer, undefined)
  failed.restore(1)
  save(failed, longer, undefined, 3 * blockTokens)
  failed.condemn()
  expect(known(promptOf([1, 2]))).toBe(0)
  expect(store.size).toBe(0)
})

test('a store without blocks keeps nothing', () => {
  const { run, store } = openStore(0)
  expect(run(promptOf([1, 2]))).toBe(0)
  expect(run(promptOf([1, 2]))).toBe(0)
  expect(store.size).toBe(0)
})

test('whatever happens, rows come back for the same tokens and scope only, and the bound holds', () => {
  const action = fc.record({
    blocks: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 6 }),
    rest: fc.nat(3),
    scope: fc.constantFrom(undefined, 'a', 'b'),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
    end: fc.constantFrom('prove', 'prove', 'prove', 'abandon', 'condemn'),
  })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9 }), fc.array(action, { maxLength: 40 }), (capacity, actions) => {
      const { store, restore, save } = openStore(capacity)
      for (const { blocks, rest, scope, part, end } of actions) {
        const tokens = promptOf(blocks, blocks.length === 0 ? rest + 1 : rest)
        const prefix = store.open(tokens, scope)
        const known = restore(prefix, tokens, scope)
        save(prefix, tokens, scope, Math.max(known, Math.floor(part * tokens.length)))
        if (end !== 'prove') save(prefix, tokens, scope, tokens.length)
        prefix[end as 'prove' | 'abandon' | 'condemn']()
        expect(store.size).toBeLessThanOrEqual(capacity)
      }
    }),
    { numRuns: 300 },
  )
})
