/// <reference lib="esnext.float16" />
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blockWeights, encodeWeights, ggmlTypes } from './gguf-blocks.ts'

const scaleOf = (bytes: Uint8Array): number => new Float16Array(bytes.slice(0, 2).buffer)[0]!

/** Read by the formats' definition. */
function decode(type: 'Q4_0' | 'Q8_0', bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length / ggmlTypes[type].bytesPerBlock }, (_, index) => {
    const block = bytes.slice(index * ggmlTypes[type].bytesPerBlock, (index + 1) * ggmlTypes[type].bytesPerBlock)
    const scale = scaleOf(block)
    const quants = block.subarray(2)
    if (type === 'Q8_0') return Array.from(new Int8Array(quants.slice().buffer), (quant) => scale * quant)
    return [...Array.from(quants, (byte) => scale * ((byte & 15) - 8)), ...Array.from(quants, (byte) => scale * ((byte >> 4) - 8))]
  }).flat()
}

const weights = fc
  .array(fc.array(fc.float({ min: -10, max: 10, noNaN: true }), { minLength: blockWeights, maxLength: blockWeights }), { minLength: 1, maxLength: 3 })
  .map((blocks) => Float32Array.from(blocks.flat()))

describe('ggml blocks', () => {
  // Half a step, a whole one where Q4_0 has no +8, and the float16 scale's own error (subnormal ones lose more).
  it.each([['Q4_0', 1.02 / 8], ['Q8_0', 0.6 / 127]] as const)('%s keeps every weight within a step of its block', (type, step) => {
    fc.assert(
      fc.property(weights, (values) => {
        const decoded = decode(type, encodeWeights(type, values))
        for (const [index, value] of values.entries()) {
          const from = index - (index % blockWeights)
          const largest = Math.max(...values.subarray(from, from + blockWeights).map(Math.abs))
          expect(Math.abs(decoded[index]! - value)).toBeLessThanOrEqual(largest * step + 1e-5)
        }
      }),
    )
  })

  it('Q4_0 takes the largest magnitude to -8 and has no +8', () => {
    const values = new Float32Array(blockWeights)
    values[3] = 4
    values[19] = -4
    const bytes = encodeWeights('Q4_0', values)
    expect(scaleOf(bytes)).toBe(-0.5)
    expect([bytes[2 + 3]! & 15, bytes[2 + 3]! >> 4]).toEqual([0, 15])
    expect(bytes[2]).toBe(0x88)
  })

  it('Q8_0 rounds halves away from zero', () => {
    const values = new Float32Array(blockWeights)
    values.set([127, 0.5, -0.5, 1.5, -1.5, -127])
    expect(Array.from(new Int8Array(encodeWeights('Q8_0', values).slice(2, 8).buffer))).toEqual([127, 1, -1, 2, -2, -127])
  })

  it.each(['Q4_0', 'Q8_0'] as const)('%s of zeros is zeros', (type) => {
    expect(decode(type, encodeWeights(type, new Float32Array(blockWeights))).every((value) => value === 0)).toBe(true)
  })

  it('refuses part of a block', () => {
    expect(() => encodeWeights('Q8_0', new Float32Array(31))).toThrow('blocks of 32')
  })
})
