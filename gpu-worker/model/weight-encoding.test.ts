import { describe, expect, test } from 'vitest'
import { encodedParts, encodeRows } from './weight-encoding.ts'
import type { WeightEncoding } from './weight-encoding.ts'
import { fromFloat32 } from './tensor-types.ts'

const encode = (encoding: WeightEncoding, columns: number, weights: readonly number[]): Uint8Array[] =>
  encodeRows({ encoding, tensor: 'a.weight', type: 'F32', bytes: fromFloat32('F32', Float32Array.from(weights)), columns })
const floats = (bytes: Uint8Array): number[] => [...new Float32Array(bytes.slice().buffer)]

// Two rows of six weights in blocks of four: the second block of a row is half full.
const rows = [-8, 7, 0, 4, 16, -14, 8, -7, 3, 1, 0, 0]

describe('the bytes of an encoding', () => {
  test('4 bits: the first code in the low half, each row starts a block, the rest of a block is zero points', () => {
    const [codes, scales] = encode({ kind: 'blocks', bits: 4, blockSize: 4 }, 6, rows)
    expect([...codes!]).toEqual([0xf0, 0xc8, 0xf0, 0x88, 0xf0, 0x75, 0x88, 0x88])
    expect(floats(scales!)).toEqual([1, -2, -1, 0])
  })

  test('8 bits: a byte each', () => {
    const [codes, scales] = encode({ kind: 'blocks', bits: 8, blockSize: 4 }, 6, [-128, 127, 0, 4, 64, -32, 0, 0, 0, 0, -1, 0])
    expect([...codes!]).toEqual([0, 255, 128, 132, 0, 192, 128, 128, 128, 128, 128, 128, 0, 128, 128, 128])
    expect(floats(scales!)).toEqual([1, -0.5, 0, 1 / 128])
  })

  test('channels: transposed, a scale per row', () => {
    const [codes, scales] = encode({ kind: 'channels' }, 3, [127, -1, 0, -254, 2, 254])
    expect([...new Int8Array(codes!.buffer)]).toEqual([127, -127, -1, 1, 0, 127])
    expect(floats(scales!)).toEqual([1, 2])
  })

  test('float16: rounded to nearest, and as they are when they come as float16', () => {
    expect([...encode({ kind: 'float16' }, 2, [1, 65_504])[0]!]).toEqual([0x00, 0x3c, 0xff, 0x7b])
    const bytes = Uint8Array.of(0x01, 0x3c, 0xff, 0xfb)
    expect([...encodeRows({ encoding: { kind: 'float16' }, tensor: 'a', type: 'F16', bytes, columns: 2 })[0]!]).toEqual([0x01, 0x3c, 0xff, 0xfb])
  })
})

test.each<[WeightEncoding, number[]]>([
  [{ kind: 'blocks', bits: 4, blockSize: 32 }, [10, 3, 16, 10, 3]],
  [{ kind: 'blocks', bits: 8, blockSize: 64 }, [10, 2, 64, 10, 2]],
  [{ kind: 'channels' }, [70, 10, 10]],
  [{ kind: 'float16' }, [10, 70]],
])('the parts of 10 rows of 70 weights, %j', (encoding, lengths) => {
  expect(encodedParts(encoding, [10, 70]).flatMap(({ shape }) => shape)).toEqual(lengths)
})
