import { expect, test } from 'vitest'
import { blockTokens, bytesPerToken, createKeyValueCache } from './key-value-cache.ts'

const shape = { layers: 2, heads: 3, headSize: 4, contextLength: 5, kvType: 'float32', kvInPlace: true } as const

/** Numbers every element so that each is told from the others. */
function filledCache(changes: { kvInPlace?: boolean; kvType?: 'float32' | 'float16' } = {}) {
  const cache = createKeyValueCache({ ...shape, ...changes }, 3)
  cache.tensors.forEach(({ past }, tensor) => past.forEach((_, index) => (past[index] = 1000 * tensor + index)))
  return cache
}

/** A tensor as [slot][head][position][element of the head]. */
const index = (slot: number, head: number, position: number, element: number): number => ((slot * 3 + head) * 5 + position) * 4 + element

test.each(['float32', 'float16'] as const)('a move takes the filled positions of every head and leaves the rest (%s)', (kvType) => {
  const cache = filledCache({ kvType })
  const before = cache.tensors.map(({ past }) => past.slice())
  cache.move(2, 0, 3)
  cache.tensors.forEach(({ past }, tensor) => {
    const expected = before[tensor]!.slice()
    for (let head = 0; head < 3; head++) {
      for (let position = 0; position < 3; position++) {
        for (let element = 0; element < 4; element++) expected[index(0, head, position, element)] = before[tensor]![index(2, head, position, element)]!
      }
    }
    expect(past).toEqual(expected)
  })
})

test('clearing zeroes the filled positions of one slot', () => {
  const cache = filledCache()
  cache.clear(1, 2)
  const { past } = cache.tensors[3]!
  expect(past[index(1, 2, 1, 3)]).toBe(0)
  expect(past[index(1, 2, 2, 0)]).toBe(3000 + index(1, 2, 2, 0))
  expect(past[index(2, 0, 0, 0)]).toBe(3000 + index(2, 0, 0, 0))
  expect(past.filter((value) => value === 0)).toHaveLength(3 * 2 * 4)
})

test('where the graph does not work in place, only the new positions are taken over', () => {
  const cache = filledCache({ kvInPlace: false })
  for (const { present } of cache.tensors) present.fill(-1)
  cache.takeOver(1, [4, 2], 1)
  for (const { past } of cache.tensors) {
    expect(past[index(1, 0, 3, 0)]).toBe(-1)
    expect(past[index(2, 2, 1, 3)]).toBe(-1)
    expect(past.filter((value) => value === -1)).toHaveLength(2 * 3 * 4)
  }
})

test('a block carries positions of every head from one slot to another and changes nothing else', () => {
  const wide = { ...shape, contextLength: 2 * blockTokens + 3 }
  const cache = createKeyValueCache(wide, 3, { blocks: 2 })
  cache.tensors.forEach(({ past }, tensor) => past.forEach((_, at) => (past[at] = 100_000 * tensor + at)))
  const before = cache.tensors.map(({ past }) => past.slice())
  cache.saveBlock(0, 0, 0)
  cache.saveBlock(1, 2, 3)
  cache.clear(2, wide.contextLength)
  cache.loadBlock(1, 1, blockTokens)
  const at = (slot: number, head: number, position: number, element: number): number => ((slot * 3 + head) * wide.contextLength + position) * 4 + element
  cache.tensors.forEach(({ past }, tensor) => {
    for (let head = 0; head < 3; head++) {
      for (let position = 0; position < wide.contextLength; position++) {
        const copied = position >= blockTokens && position < 2 * blockTokens
        const source = copied ? at(2, head, position - blockTokens + 3, 1) : at(1, head, position, 1)
        expect(past[at(1, head, position, 1)]).toBe(before[tensor]![source])
        expect(past[at(0, head, position, 1)]).toBe(before[tensor]![at(0, head, position, 1)])
      }
    }
  })
})

test('bytes of a position: all layers, keys and values, and a second set where the graph does not work in place', () => {
  expect(bytesPerToken(shape)).toEqual({ slot: 2 * 2 * 3 * 4 * 4, block: 2 * 2 * 3 * 4 * 4 })
  expect(bytesPerToken({ ...shape, kvInPlace: false, kvType: 'float16' })).toEqual({ slot: 2 * 2 * 3 * 4 * 4, block: 2 * 2 * 3 * 4 * 2 })
})
