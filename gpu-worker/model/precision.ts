/**
 * The precisions that a checkpoint can be compiled to, and which encoding each of its tensors gets. What each costs in
 * quality is in docs/models.md; why it is as it is, in docs/decisions/0008-quantisation.md.
 */
import type { Manifest } from './manifest.ts'
import { modelError } from './model-error.ts'
import type { WeightEncoding } from './weight-encoding.ts'

export const compilablePrecisions = ['fp32', 'fp16', 'int8', 'int4'] as const
/** Weights that share a scale, in the block-wise encodings; what ONNX Runtime's kernels are quick at. */
export const blockSizes = [32, 64, 128] as const
const defaultBlockSize = 32

export interface Precision {
  readonly name: Manifest['precision']
  /** Weights per scale; absent for fp32, fp16, and int8 with one scale per output channel. */
  readonly blockSize?: number
}

/** Throws `ModelError` `unsupported` for what does not exist. */
export function parsePrecision(name: string, blockSize?: number): Precision {
  const known = compilablePrecisions.find((precision) => precision === name)
  if (known === undefined) {
    throw modelError('unsupported', `The precision ${JSON.stringify(name)} does not exist; there is ${compilablePrecisions.join(', ')}.`)
  }
  if (blockSize !== undefined && !blockSizes.some((size) => size === blockSize)) {
    throw modelError('unsupported', `Blocks of ${blockSize} weights do not exist; there is ${blockSizes.join(', ')}.`)
  }
  if (known === 'int4') return { name: known, blockSize: blockSize ?? defaultBlockSize }
  if (blockSize === undefined) return { name: known }
  if (known === 'int8') return { name: known, blockSize }
  throw modelError('unsupported', `The precision ${known} has no blocks.`)
}

export interface ModelEncodings {
  readonly embedding: WeightEncoding
  /** The matrices of the layers. */
  readonly layers: WeightEncoding
  /** lm_head. */
  readonly head: WeightEncoding
}

/**
 * Biases, norms and rotary angles are float32 always: they are few. Embeddings are only looked up, so they cost no time,
 * and float16 is exact for the checkpoints that are published in it. The head decides directly between tokens and is a
 * twentieth of the weights, so it gets 8 bits where the layers get 4, as llama.cpp's mixes give it more than the rest.
 */
export function encodingsOf({ name, blockSize }: Precision): ModelEncodings {
  if (name === 'fp32') return { embedding: { kind: 'float32' }, layers: { kind: 'float32' }, head: { kind: 'float32' } }
  const float16 = { kind: 'float16' } as const
  if (name === 'fp16') return { embedding: float16, layers: float16, head: float16 }
  const head = { kind: 'blocks', bits: 8, blockSize: blockSize ?? defaultBlockSize } as const
  if (name === 'int4') return { embedding: float16, layers: { ...head, bits: 4 }, head }
  return { embedding: float16, layers: blockSize === undefined ? { kind: 'channels' } : head, head }
}
