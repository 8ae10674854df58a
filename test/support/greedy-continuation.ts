/** Greedy decoding of a compiled folder with plain onnxruntime-node: no engine, no cache, the whole sequence every time. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { readManifest } from '../../gpu-worker/model/manifest.ts'

export interface Continuation {
  /** At most so many as were asked for; the last may be an end token. */
  readonly tokens: readonly number[]
  readonly text: string
  readonly endTokens: readonly number[]
  /** By how much the best token's logit led, at the closest of the steps. */
  readonly smallestMargin: number
  readonly tokenizer: Tokenizer
}

export async function greedyContinuation(folder: string, prompt: string, steps: number): Promise<Continuation> {
  const { layers, heads, headSize, contextLength, endTokens } = await readManifest(folder)
  const tokenizer = new Tokenizer(JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8')) as object, {})
  const session = await InferenceSession.create(join(folder, 'model.onnx'))
  const emptyCache = Object.fromEntries(
    Array.from({ length: layers }, (_, layer) => [`past_k.${layer}`, `past_v.${layer}`])
      .flat()
      .map((name) => [name, new Tensor('float32', new Float32Array(heads * contextLength * headSize), [1, heads, contextLength, headSize])]),
  )
  const sequence: number[] = tokenizer.encode(prompt).ids
  const tokens: number[] = []
  let smallestMargin = Infinity
  while (tokens.length < steps && !endTokens.includes(tokens.at(-1) ?? -1)) {
    const length = sequence.length
    const { logits } = await session.run({
      input_ids: new Tensor('int64', BigInt64Array.from(sequence, BigInt), [1, length]),
      bs: new Tensor('int64', BigInt64Array.from([1, length, -1], BigInt), [3]),
      seqlens_k: new Tensor('int32', Int32Array.of(length - 1), [1]),
      total_seq: new Tensor('int32', Int32Array.of(length), []),
      logit_idx: new Tensor('int64', BigInt64Array.of(BigInt(length - 1)), [1]),
      ...emptyCache,
    })
    const row = Array.from(logits!.data as Float32Array)
    const [best, second] = row.map((logit, token) => ({ logit, token })).toSorted((a, b) => b.logit - a.logit)
    smallestMargin = Math.min(smallestMargin, best!.logit - second!.logit)
    sequence.push(best!.token)
    tokens.push(best!.token)
  }
  await session.release()
  return { tokens, text: tokenizer.decode(tokens, { skip_special_tokens: true }), endTokens, smallestMargin, tokenizer }
}
