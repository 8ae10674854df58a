import { expect, test } from 'vitest'
import { philox4x32, uniformAt } from './random.ts'

// The known answers for philox4x32-10 that come with the authors' Random123 library (tests/kat_vectors).
test.each([
  [[0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
  [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
  [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]],
] as const)('counter %j, key %j', (counter, key, words) => {
  expect(philox4x32(counter, key)).toEqual(words)
})

test('numbers are uniform over positions and over seeds', () => {
  const count = 20_000
  for (const numberAt of [(index: number) => uniformAt(7, index), (index: number) => uniformAt(index, 7)]) {
    const tenths = Array.from({ length: 10 }, () => 0)
    for (let index = 0; index < count; index++) tenths[Math.floor(numberAt(index) * 10)]!++
    // Chi-squared with 9 degrees of freedom exceeds 27.9 with a probability of 0.001; the numbers are always the same.
    const chiSquared = tenths.reduce((sum, found) => sum + (found - count / 10) ** 2 / (count / 10), 0)
    expect(chiSquared).toBeLessThan(27.9)
  }
})

test('every bit of the largest seed counts', () => {
  expect(uniformAt(Number.MAX_SAFE_INTEGER, 0)).not.toBe(uniformAt(Number.MAX_SAFE_INTEGER - 2 ** 40, 0))
  expect(uniformAt(Number.MAX_SAFE_INTEGER, 0)).not.toBe(uniformAt(Number.MAX_SAFE_INTEGER - 1, 0))
})
