import { describe, expect, test } from 'vitest'
import { quantiseBlock, quantiseChannel } from './quantise.ts'
import { normalGenerator, uniformGenerator } from './random-numbers.ts'

/** What codes of a block stand for, by the definition of MatMulNBits. */
const meaning = (codes: Uint8Array, scale: number, bits: 4 | 8): number[] => Array.from(codes, (code) => (code - 2 ** (bits - 1)) * scale)
const squaredError = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, value, at) => sum + (value - b[at]!) ** 2, 0)

/** Rounding to nearest without a search: the largest weight at the negative end of the range. */
function plainRounding(weights: Float32Array, bits: 4 | 8): number[] {
  const half = 2 ** (bits - 1)
  const extreme = weights.reduce((most, weight) => (Math.abs(weight) > Math.abs(most) ? weight : most), 0)
  const scale = extreme / -half
  return Array.from(weights, (weight) => (scale === 0 ? 0 : Math.min(half - 1, Math.max(-half, Math.floor(weight / scale + 0.5))) * scale))
}

const uniform = uniformGenerator(3)
const normal = normalGenerator(4)
const kinds: Record<string, () => number> = {
  normal,
  uniform: () => uniform() - 0.5,
  'all positive': () => uniform() + 0.1,
  'heavy tails': () => normal() / (0.05 + Math.abs(normal())),
  'mostly zero': () => (uniform() < 0.9 ? 0 : normal()),
  'one value': () => 0.37,
  'very small': () => 1e-38 * normal(),
  'very large': () => 1e37 * normal(),
}

describe.each(Object.entries(kinds))('a block of weights: %s', (_, draw) => {
  test.each([[4, 32], [4, 128], [4, 5], [8, 32], [8, 128]] as const)('%i bits, %i weights: never worse than rounding to nearest', (bits, size) => {
    for (let round = 0; round < 40; round++) {
      const weights = Float32Array.from({ length: size }, draw)
      const codes = new Uint8Array(size)
      const scale = Math.fround(quantiseBlock(weights, 0, size, bits, codes))
      const energy = squaredError(weights, new Float32Array(size))
      // The allowance is the rounding of the scale to float32.
      expect(squaredError(weights, meaning(codes, scale, bits))).toBeLessThanOrEqual(squaredError(weights, plainRounding(weights, bits)) + 1e-12 * energy)
      expect(codes.every((code) => code < 2 ** bits)).toBe(true)
    }
  })
})

test.each([[32, 0.92], [64, 0.92], [128, 0.91]])('blocks of %i normal weights lose at least a twelfth of the error to the search', (size, share) => {
  const errors = { searched: 0, plain: 0 }
  for (let round = 0; round < 500; round++) {
    const weights = Float32Array.from({ length: size }, normal)
    const codes = new Uint8Array(size)
    const scale = quantiseBlock(weights, 0, size, 4, codes)
    errors.searched += squaredError(weights, meaning(codes, scale, 4))
    errors.plain += squaredError(weights, plainRounding(weights, 4))
  }
  expect(errors.searched / errors.plain).toBeLessThan(share)
})

describe('a block', () => {
  test('of multiples of one scale is exact, whichever end is the larger', () => {
    const codes = new Uint8Array(16)
    for (const sign of [1, -1]) {
      const weights = Float32Array.from({ length: 16 }, (_, index) => sign * 0.25 * (index - 8))
      const scale = quantiseBlock(weights, 0, 16, 4, codes)
      expect(scale).toBe(sign * 0.25)
      expect([...codes]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }
  })

  test('of zeros has the scale 0 and only zero points', () => {
    const codes = new Uint8Array(4).fill(99)
    expect(quantiseBlock(new Float32Array(4), 0, 4, 4, codes)).toBe(0)
    expect([...codes]).toEqual([8, 8, 8, 8])
  })

  test('reads its own weights only', () => {
    const codes = new Uint8Array(2)
    expect(quantiseBlock(Float32Array.of(100, -8, 4, 100), 1, 3, 4, codes)).toBe(1)
    expect([...codes]).toEqual([0, 12])
  })
})

describe('an output channel', () => {
  test('is spread over -127 to 127', () => {
    const codes = new Int8Array(6).fill(55)
    expect(quantiseChannel(Float32Array.of(9, -2, 1, 0.5, 9), 1, 4, codes, 1, 2)).toBeCloseTo(2 / 127, 12)
    expect([...codes]).toEqual([55, -127, 55, 64, 55, 32])
  })

  test('of zeros has the scale 0', () => {
    const codes = new Int8Array(3)
    expect(quantiseChannel(new Float32Array(3), 0, 3, codes, 0, 1)).toBe(0)
    expect([...codes]).toEqual([0, 0, 0])
  })
})
