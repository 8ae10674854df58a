/**
 * The small inputs of the graph and its logits as preallocated arrays, in the layout that manifest.ts describes. Both
 * forward passes fill and read them; the KV cache is elsewhere.
 */
import type { ForwardPassInput } from './forward-pass.ts'

export interface GraphTensor {
  readonly name: string
  readonly type: 'int64' | 'int32' | 'float32'
  /** Exactly the elements of the shape. */
  readonly data: BigInt64Array | Int32Array | Float32Array
  readonly shape: readonly number[]
}

export interface FilledGraph {
  /** B and S of the run. */
  readonly batch: number
  readonly newTokens: number
  readonly inputs: readonly GraphTensor[]
  /** f32 [R, V], to be written by the run. */
  readonly logits: GraphTensor & { readonly data: Float32Array }
}

/** Returns the function that fills the arrays for one run; what it returned before is overwritten. */
export function createGraphInputs(maximumTokens: number, vocabularySize: number): (input: ForwardPassInput) => FilledGraph {
  const tokenIds = new BigInt64Array(maximumTokens)
  const batchShape = new BigInt64Array(3)
  const lastIndices = new Int32Array(maximumTokens)
  const longest = new Int32Array(1)
  const wantedRows = new BigInt64Array(maximumTokens)
  const logits = new Float32Array(maximumTokens * vocabularySize)

  return ({ lengths, tokens, wanted }) => {
    const batch = lengths.length
    const newTokens = tokens.length / batch
    if (tokens.length === 0 || tokens.length > maximumTokens || !Number.isInteger(newTokens) || (batch > 1 && newTokens > 1)) {
      throw new Error(`A forward pass takes 1 to ${maximumTokens} tokens of one sequence or one token each of several, not ${tokens.length} of ${batch}.`)
    }
    tokens.forEach((token, index) => (tokenIds[index] = BigInt(token)))
    batchShape.set([BigInt(batch), BigInt(newTokens), -1n])
    lengths.forEach((length, index) => (lastIndices[index] = length - 1))
    longest[0] = Math.max(...lengths)
    wanted.forEach((row, index) => (wantedRows[index] = BigInt(row)))
    return {
      batch,
      newTokens,
      inputs: [
        { name: 'input_ids', type: 'int64', data: tokenIds.subarray(0, tokens.length), shape: [batch, newTokens] },
        { name: 'bs', type: 'int64', data: batchShape, shape: [3] },
        { name: 'seqlens_k', type: 'int32', data: lastIndices.subarray(0, batch), shape: [batch] },
        { name: 'total_seq', type: 'int32', data: longest, shape: [] },
        { name: 'logit_idx', type: 'int64', data: wantedRows.subarray(0, wanted.length), shape: [wanted.length] },
      ],
      logits: {
        name: 'logits',
        type: 'float32',
        data: logits.subarray(0, wanted.length * vocabularySize),
        shape: [wanted.length, vocabularySize],
      },
    }
  }
}
