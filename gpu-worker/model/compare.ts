/**
 * What a precision costs in quality: runs a compiled model and its float32 reference side by side over a text and
 * compares what they predict for every next token. The text is cut into windows of the context length, which start with
 * no past. It judges the compilation, not the model.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { openForwardPass } from '../engine/forward-pass.ts'
import type { ForwardPass } from '../engine/forward-pass.ts'
import { createKeyValueCache } from '../engine/key-value-cache.ts'
import { physicalCores } from '../engine/physical-cores.ts'
import { loadTokenizer } from '../engine/tokenizer.ts'
import { compileCheckpoint } from './compile.ts'
import type { CompileProgress } from './compile.ts'
import { graphFile, readManifest } from './manifest.ts'
import type { Manifest } from './manifest.ts'
import { ModelError, modelError } from './model-error.ts'

/** Tokens of one run of a graph. */
const chunkTokens = 64

export interface CompareOptions {
  /** The compiled model that is judged. */
  readonly folder: string
  /** The same weights compiled at fp32, or their checkpoint, which is then compiled into a temporary folder. */
  readonly against: string
  readonly text: string
  readonly onCompileProgress?: (progress: CompileProgress) => void
  readonly onTokens?: (doneTokens: number, totalTokens: number) => void
  /** Aborting it throws its reason, between two runs of a graph. */
  readonly signal?: AbortSignal
}

export interface Comparison {
  /** Of the text. */
  readonly tokens: number
  /** Predictions that were compared: every token of the text but the first of each window. */
  readonly predictions: number
  /** Kullback-Leibler divergence of the model's distribution from the reference's, in nats, over the predictions. */
  readonly klDivergence: { readonly mean: number; readonly p99: number }
  /** Share of the predictions whose most probable token is the same. */
  readonly topAgreement: number
  /** exp of the mean negative log-probability of the text's tokens. */
  readonly perplexity: { readonly reference: number; readonly model: number }
}

/**
 * Throws `ModelError`: as `readManifest` and `compileCheckpoint`; `unsupported` when the two are not the same weights, the
 * reference is not fp32, or the text has less than two tokens; `damaged` when logits are not numbers.
 */
export async function compareModels(options: CompareOptions): Promise<Comparison> {
  const { folder, against, signal } = options
  const manifest = await readManifest(folder)
  const tokens = (await loadTokenizer(folder)).encode(options.text)
  if (tokens.length < 2) throw modelError('unsupported', `The text has ${tokens.length} tokens; a comparison needs two.`)
  // ONNX Runtime reads it when the library loads.
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const closes: (() => Promise<unknown>)[] = []
  try {
    const compiled = await readManifest(against).catch((error: unknown) => {
      if (error instanceof ModelError && error.failure === 'not-found') return undefined
      throw error
    })
    let referenceFolder = against
    let reference = compiled
    if (reference === undefined) {
      const place = await mkdtemp(join(tmpdir(), 'phigate-reference-'))
      closes.push(() => rm(place, { recursive: true, force: true }))
      referenceFolder = join(place, 'fp32')
      reference = await compileCheckpoint({
        source: against, out: referenceFolder, precision: 'fp32', modelId: 'reference',
        ...(options.onCompileProgress && { onProgress: options.onCompileProgress }), ...(signal && { signal }),
      })
    }
    requireComparable(folder, manifest, against, reference)
    const window = Math.min(manifest.contextLength, tokens.length)
    const open = async (modelFolder: string, of: Manifest): Promise<ForwardPass> => {
      const shape = { ...of, contextLength: window }
      const cache = createKeyValueCache(shape, 1)
      const graphPath = join(modelFolder, graphFile)
      // The fallback is as exact.
      const pass = await openForwardPass({ graphPath, manifest: shape, cache, maximumTokens: chunkTokens, threads: await physicalCores() }, () => undefined)
      closes.push(() => pass.close())
      return pass
    }
    return await compare(await open(referenceFolder, reference), await open(folder, manifest), tokens, window, manifest.vocabularySize, options)
  } finally {
    for (const close of closes.toReversed()) await close()
  }
}

function requireComparable(folder: string, model: Manifest, against: string, reference: Manifest): void {
  if (reference.precision !== 'fp32') throw modelError('unsupported', `${against} is ${reference.precision}; a reference is compiled at fp32.`)
  if (model.weightsDigest !== reference.weightsDigest) {
    throw modelError('unsupported', `${folder} and ${against} are not made of the same weights: ${model.weightsDigest} and ${reference.weightsDigest}.`)
  }
}

async function compare(
  reference: ForwardPass,
  model: ForwardPass,
  tokens: readonly number[],
  window: number,
  vocabularySize: number,
  { onTokens, signal }: CompareOptions,
): Promise<Comparison> {
  const divergences: number[] = []
  let agreements = 0
  const surprise = { reference: 0, model: 0 }
  for (let start = 0; start < tokens.length; start += window) {
    const end = Math.min(start + window, tokens.length)
    for (let at = start; at < end; at += chunkTokens) {
      // A run does not return to the event loop, where signals arrive.
      await setImmediate()
      signal?.throwIfAborted()
      const chunk = tokens.slice(at, Math.min(at + chunkTokens, end))
      const input = { firstSlot: 0, lengths: [at - start + chunk.length], tokens: chunk, wanted: chunk.map((_, index) => index) }
      const [expected, actual] = [await reference.run(input), await model.run(input)]
      for (let row = 0; row < chunk.length && at + row + 1 < end; row++) {
        const next = tokens[at + row + 1]!
        const of = (logits: Float32Array): Distribution => distribution(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize))
        const [p, q] = [of(expected), of(actual)]
        divergences.push(divergence(p.logProbabilities, q.logProbabilities))
        if (p.top === q.top) agreements++
        surprise.reference -= p.logProbabilities[next]!
        surprise.model -= q.logProbabilities[next]!
      }
      onTokens?.(at + chunk.length, tokens.length)
    }
  }
  const predictions = divergences.length
  return {
    tokens: tokens.length,
    predictions,
    klDivergence: {
      mean: divergences.reduce((sum, value) => sum + value, 0) / predictions,
      p99: divergences.toSorted((a, b) => a - b)[Math.ceil(0.99 * predictions) - 1]!,
    },
    topAgreement: agreements / predictions,
    perplexity: { reference: Math.exp(surprise.reference / predictions), model: Math.exp(surprise.model / predictions) },
  }
}

interface Distribution {
  readonly logProbabilities: Float64Array
  readonly top: number
}

/** Log-softmax of a row of logits, in float64. */
function distribution(logits: Float32Array): Distribution {
  let top = 0
  for (let token = 1; token < logits.length; token++) if (logits[token]! > logits[top]!) top = token
  let total = 0
  for (const logit of logits) total += Math.exp(logit - logits[top]!)
  const logTotal = logits[top]! + Math.log(total)
  if (!Number.isFinite(logTotal)) throw modelError('damaged', 'The model computes something that is not a number.')
  return { logProbabilities: Float64Array.from(logits, (logit) => logit - logTotal), top }
}

function divergence(p: Float64Array, q: Float64Array): number {
  let sum = 0
  for (let token = 0; token < p.length; token++) sum += Math.exp(p[token]!) * (p[token]! - q[token]!)
  // Rounding can make it a little less than nothing.
  return Math.max(0, sum)
}
