import { expect, test } from 'vitest'
import { createLruMap } from './lru-map.ts'

test('the entry that was used longest ago makes room', () => {
  const map = createLruMap<{ n: number }>(2)
  map.set('a', { n: 1 })
  map.set('b', { n: 2 })
  map.get('a')
  map.set('c', { n: 3 })
  expect(map.get('a')).toEqual({ n: 1 })
  expect(map.get('b')).toBeUndefined()
  expect(map.get('c')).toEqual({ n: 3 })
})

test('writing an entry again does not push another one out', () => {
  const map = createLruMap<{ n: number }>(2)
  map.set('a', { n: 1 })
  map.set('b', { n: 2 })
  map.set('b', { n: 3 })
  expect(map.get('a')).toEqual({ n: 1 })
  map.clear()
  expect(map.get('a')).toBeUndefined()
})
