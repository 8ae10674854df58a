/** Runs a compiled graph step by step through onnxruntime-node, with the KV cache in the test's hands. */
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Manifest } from '../manifest.ts'
import { graphFile } from '../manifest.ts'

type Cache = Record<string, Tensor>

export interface CompiledGraph {
  emptyCache(batch: number): Cache
  /** Runs rows of new tokens whose sequences are then `lengths` long; returns logits of `wanted` rows and the new cache. */
  step(
    rows: readonly (readonly number[])[],
    lengths: readonly number[],
    past: Cache,
    wanted: readonly number[],
  ): Promise<{ logits: Float32Array[]; cache: Cache }>
  close(): Promise<void>
}

type Shape = Pick<Manifest, 'layers' | 'heads' | 'headSize' | 'contextLength' | 'vocabularySize'>

export async function openGraph(folder: string, { layers, heads, headSize, contextLength, vocabularySize }: Shape): Promise<CompiledGraph> {
  const session = await InferenceSession.create(join(folder, graphFile))
  return {
    emptyCache(batch) {
      const shape = [batch, heads, contextLength, headSize]
      const zeros = (): Tensor => new Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b)), shape)
      return Object.fromEntries(
        Array.from({ length: layers }, (_, layer) => [[`past_k.${layer}`, zeros()], [`past_v.${layer}`, zeros()]] as const).flat(),
      )
    },
    async step(rows, lengths, past, wanted) {
      const [batch, count] = [rows.length, rows[0]!.length]
      const { logits, ...present } = await session.run({
        input_ids: new Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [batch, count]),
        bs: new Tensor('int64', BigInt64Array.from([batch, count, -1], BigInt), [3]),
        seqlens_k: new Tensor('int32', Int32Array.from(lengths, (length) => length - 1), [batch]),
        total_seq: new Tensor('int32', Int32Array.of(Math.max(...lengths)), []),
        logit_idx: new Tensor('int64', BigInt64Array.from(wanted, BigInt), [wanted.length]),
        ...past,
      })
      if (logits!.dims.join() !== `${wanted.length},${vocabularySize}`) throw new Error(`The logits are [${logits!.dims.join()}].`)
      const data = logits!.data as Float32Array
      return {
        logits: wanted.map((_, row) => data.slice(row * vocabularySize, (row + 1) * vocabularySize)),
        cache: Object.fromEntries(Object.entries(present).map(([name, tensor]) => [name.replace('present', 'past'), tensor])),
      }
    },
    close: () => session.release(),
  }
}

type Rows = readonly (Float32Array | Float64Array)[]

/** NaN where either side is not a number, which is not less than anything. */
export function largestDistance(actual: Rows, expected: Rows): number {
  if (actual.length !== expected.length) return Number.NaN
  return actual
    .flatMap((row, at) => Array.from(row, (value, token) => Math.abs(value - expected[at]![token]!)))
    .reduce((largest, distance) => Math.max(largest, distance), 0)
}

/** Root of the mean squared difference, as a share of the root mean square of what is expected. */
export function relativeError(actual: Rows, expected: Rows): number {
  const squares = { error: 0, size: 0 }
  expected.forEach((row, at) =>
    row.forEach((value, token) => {
      squares.error += (actual[at]![token]! - value) ** 2
      squares.size += value ** 2
    }),
  )
  return Math.sqrt(squares.error / squares.size)
}
