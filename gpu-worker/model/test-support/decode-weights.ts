/// <reference lib="esnext.float16" />
/**
 * Reads weights.bin back into the tensors of a checkpoint, after the definitions of ONNX Runtime's operators
 * (ContribOperators.md, MatMulNBits and MatMulIntegerToFloat) and without the compiler's encoder.
 */
import type { Weights } from '../phi-graph.ts'
import type { WeightLayout } from '../write-weights.ts'

/** By the name of the checkpoint's tensor. */
export function decodeWeights(file: Uint8Array, weights: readonly Weights[], { offsets }: WeightLayout): Map<string, Float32Array> {
  const tensors = new Map<string, Float32Array>()
  for (const each of weights) {
    if (each.source.kind === 'rotary') continue
    const values = decode(file, each, (suffix) => offsets.get(each.name + suffix)!)
    const length = values.length / each.source.tensors.length
    each.source.tensors.forEach((tensor, index) => tensors.set(tensor, values.slice(index * length, (index + 1) * length)))
  }
  return tensors
}

function decode(file: Uint8Array, { shape, encoding }: Weights, offset: (suffix: string) => number): Float32Array {
  const [rows, columns] = [shape[0]!, shape[1] ?? 1]
  const bytes = (suffix: string, length: number): ArrayBuffer => Uint8Array.from(file.subarray(offset(suffix), offset(suffix) + length)).buffer
  const floats = (suffix: string, count: number): Float32Array => new Float32Array(bytes(suffix, 4 * count))
  const everyWeight = (value: (row: number, column: number) => number): Float32Array =>
    Float32Array.from({ length: rows * columns }, (_, at) => value(Math.floor(at / columns), at % columns))
  switch (encoding.kind) {
    case 'float32':
      return floats('', rows * columns)
    case 'float16':
      return new Float32Array(new Float16Array(bytes('', 2 * rows * columns)))
    case 'channels': {
      const codes = new Int8Array(bytes('.codes', rows * columns))
      const scales = floats('.scales', rows)
      return everyWeight((row, column) => codes[column * rows + row]! * scales[row]!)
    }
    case 'blocks': {
      const { bits, blockSize } = encoding
      const blocks = Math.ceil(columns / blockSize)
      const codes = new Uint8Array(bytes('.codes', (rows * blocks * blockSize * bits) / 8))
      const scales = floats('.scales', rows * blocks)
      return everyWeight((row, column) => {
        const at = row * blocks * blockSize + column
        const code = bits === 8 ? codes[at]! : at % 2 === 0 ? codes[at / 2]! & 15 : codes[(at - 1) / 2]! >> 4
        return (code - 2 ** (bits - 1)) * scales[row * blocks + Math.floor(column / blockSize)]!
      })
    }
  }
}
