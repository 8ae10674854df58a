import { assert, constantFrom, integer, property } from 'fast-check'
import { expect, test } from 'vitest'
import { createResearchKey, inspectResearchKey } from './key-format.ts'

test('a key has its prefix, 43 random characters and a checksum that fits', () => {
  const keys = Array.from({ length: 50 }, createResearchKey)
  for (const key of keys) {
    expect(key).toMatch(/^pg-research-[0-9A-Za-z]{49}$/)
    expect(inspectResearchKey(key)).toBe('well-formed')
  }
  expect(new Set(keys).size).toBe(keys.length)
})

test('the checksum is the CRC-32 that other programs compute, in base62', () => {
  // Python: zlib.crc32(b'pg-research-' + b'0' * 43) is 2527607093, which is 2l3a4L in six digits of base 62.
  expect(inspectResearchKey(`pg-research-${'0'.repeat(43)}2l3a4L`)).toBe('well-formed')
})

test('one wrong character shows as a mistyped key, whichever it is', () => {
  const key = createResearchKey()
  const letters = constantFrom(...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz')
  assert(
    property(integer({ min: 'pg-research-'.length, max: key.length - 1 }), letters, (index, letter) => {
      const typed = key.slice(0, index) + letter + key.slice(index + 1)
      expect(inspectResearchKey(typed)).toBe(typed === key ? 'well-formed' : 'mistyped')
    }),
  )
})

test.each(['', 'sk-abc', 'pg-research-', `${createResearchKey()}x`, createResearchKey().slice(0, -1), ` ${createResearchKey()}`])(
  'another shape is not a key: %j',
  (text) => {
    expect(inspectResearchKey(text)).toBe('not-a-key')
  },
)
