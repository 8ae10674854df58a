/// <reference lib="esnext.float16" />
/**
 * How a matrix of weights lies in weights.bin. A matrix has N rows (output channels) of K weights, as in the checkpoint;
 * an encoding turns it into one or more ONNX tensors, its parts. Rows are encoded a few at a time and independently, so
 * that large matrices can be streamed. Which matrix gets which encoding is decided in precision.ts.
 */
import { tensorBytes } from './onnx-writer.ts'
import type { ElementType } from './onnx-writer.ts'
import { modelError } from './model-error.ts'
import { quantiseBlock, quantiseChannel } from './quantise.ts'
import { requireFinite } from './safetensors.ts'
import { toFloat32 } from './tensor-types.ts'
import type { TensorType } from './tensor-types.ts'

export type WeightEncoding =
  | { readonly kind: 'float32' | 'float16' }
  /**
   * com.microsoft MatMulNBits (ContribOperators.md in microsoft/onnxruntime): codes u8 [N, ceil(K/blockSize),
   * blockSize*bits/8], of 4 bits the first in the low half; scales f32 [N, ceil(K/blockSize)]; zero point 2^(bits-1).
   * The rest of a row's last block is zero points.
   */
  | { readonly kind: 'blocks'; readonly bits: 4 | 8; readonly blockSize: number }
  /** One scale per output channel: codes i8 [K, N], transposed, as MatMulIntegerToFloat wants them; scales f32 [N]. */
  | { readonly kind: 'channels' }

export interface EncodedPart {
  /** Follows the name of the weights. */
  readonly suffix: string
  readonly type: ElementType
  readonly shape: readonly number[]
  /** `columns`: the rows of the matrix are the columns of this part. */
  readonly order: 'rows' | 'columns'
}

/** The ONNX tensors of a matrix (or list) of this shape. */
export function encodedParts(encoding: WeightEncoding, shape: readonly number[]): EncodedPart[] {
  const [rows, columns] = [shape[0]!, shape[1]!]
  switch (encoding.kind) {
    case 'float32':
    case 'float16':
      return [{ suffix: '', type: encoding.kind, shape, order: 'rows' }]
    case 'blocks': {
      const { bits, blockSize } = encoding
      const blocks = Math.ceil(columns / blockSize)
      return [
        { suffix: '.codes', type: 'uint8', shape: [rows, blocks, (blockSize * bits) / 8], order: 'rows' },
        { suffix: '.scales', type: 'float32', shape: [rows, blocks], order: 'rows' },
      ]
    }
    case 'channels':
      return [
        { suffix: '.codes', type: 'int8', shape: [columns, rows], order: 'columns' },
        { suffix: '.scales', type: 'float32', shape: [rows], order: 'rows' },
      ]
  }
}

/** Bytes per row of the matrix in this part. */
export function bytesPerRow({ type, shape, order }: EncodedPart): number {
  return tensorBytes(type, shape) / shape[order === 'rows' ? 0 : 1]!
}

/** Whole rows of a matrix of a checkpoint. */
export interface RowsToEncode {
  readonly encoding: WeightEncoding
  /** The checkpoint's tensor, for messages. */
  readonly tensor: string
  readonly type: TensorType
  readonly bytes: Uint8Array
  /** K; 1 for a list. */
  readonly columns: number
}

/**
 * The rows' bytes in each part; for a part in `columns` order, those of a [K, rows] matrix of their own. A pure function.
 * Throws `ModelError`: `damaged` for NaN and Inf, `unsupported` for a weight that float16 can not hold.
 */
export function encodeRows({ encoding, tensor, type, bytes, columns }: RowsToEncode): Uint8Array[] {
  const values = toFloat32(type, bytes)
  requireFinite(values, tensor)
  switch (encoding.kind) {
    case 'float32':
      return [asBytes(values)]
    case 'float16':
      return [type === 'F16' ? bytes : toFloat16(values, tensor)]
    case 'blocks':
      return encodeBlocks(values, columns, encoding)
    case 'channels':
      return encodeChannels(values, columns)
  }
}

function toFloat16(values: Float32Array, tensor: string): Uint8Array {
  const largest = 65_504
  for (const value of values) {
    if (Math.abs(value) > largest) {
      throw modelError('unsupported', `The tensor ${JSON.stringify(tensor)} holds ${value}, and float16 ends at ${largest}. Compile it with --precision fp32.`)
    }
  }
  return new Uint8Array(new Float16Array(values).buffer)
}

function encodeBlocks(values: Float32Array, columns: number, { bits, blockSize }: { readonly bits: 4 | 8; readonly blockSize: number }): Uint8Array[] {
  const blocksPerRow = Math.ceil(columns / blockSize)
  const rows = values.length / columns
  const packed = new Uint8Array((rows * blocksPerRow * blockSize * bits) / 8)
  const scales = new Float32Array(rows * blocksPerRow)
  const codes = new Uint8Array(blockSize)
  let at = 0
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocksPerRow; block++) {
      const start = row * columns + block * blockSize
      const end = Math.min(start + blockSize, (row + 1) * columns)
      scales[row * blocksPerRow + block] = quantiseBlock(values, start, end, bits, codes)
      codes.fill(bits === 4 ? 8 : 128, end - start)
      if (bits === 8) packed.set(codes, at)
      else for (let index = 0; index < blockSize; index += 2) packed[at + index / 2] = codes[index]! | (codes[index + 1]! << 4)
      at += (blockSize * bits) / 8
    }
  }
  return [packed, asBytes(scales)]
}

function encodeChannels(values: Float32Array, columns: number): Uint8Array[] {
  const rows = values.length / columns
  const codes = new Int8Array(values.length)
  const scales = new Float32Array(rows)
  for (let row = 0; row < rows; row++) scales[row] = quantiseChannel(values, row * columns, (row + 1) * columns, codes, row, rows)
  return [asBytes(codes), asBytes(scales)]
}

function asBytes({ buffer, byteOffset, byteLength }: Float32Array | Int8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
