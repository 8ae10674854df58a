/**
 * llama.cpp as a contender, through node-llama-cpp's public interface, with the settings that a user gets: the build for
 * this processor's instructions, weights repacked for them, flash attention where llama.cpp chooses it, float16 cache.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Contender, ContenderSpecification } from './contender.ts'

/** As much of node-llama-cpp 3 as is used; it is not a dependency of this project. */
interface LlamaModule {
  getLlama(options: {
    gpu: false
    build: 'never'
    skipDownload: true
    maxThreads: number
    logLevel: 'warn'
    logger: (level: string, message: string) => void
  }): Promise<{ loadModel(options: { modelPath: string }): Promise<LlamaModel>; dispose(): Promise<void> }>
}

interface LlamaModel {
  createContext(options: { sequences: number; contextSize: number; batchSize: number; threads: number }): Promise<{ getSequence(): LlamaSequence }>
}

interface LlamaSequence {
  evaluate(tokens: readonly number[], options: { temperature: 0; yieldEogTokens: true }): AsyncIterable<number>
  controlledEvaluate(
    input: readonly (readonly [number, { generateNext: { logits: true } }])[],
  ): Promise<readonly ({ readonly next: { readonly logits?: ReadonlyMap<number, number> } } | undefined)[]>
  clearHistory(): Promise<void>
}

/** node-llama-cpp's default too: the longest prompt of the bench goes through in one piece. */
const batchSize = 512

export async function openLlama(specification: ContenderSpecification): Promise<Contender> {
  const { path, installation, threads, sequences, sequenceTokens } = specification
  if (installation === null) throw new Error('node-llama-cpp is not installed.')
  const entry = join(installation, 'node_modules', 'node-llama-cpp', 'dist', 'index.js')
  const module: LlamaModule = await import(pathToFileURL(entry).href)
  const warnings: string[] = []
  const llama = await module.getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel: 'warn',
    logger: (level, message) => warnings.push(`${level}: ${message.trim()}`),
  })
  const model = await llama.loadModel({ modelPath: path })
  const context = await model.createContext({ sequences, contextSize: sequenceTokens, batchSize, threads })
  const free = Array.from({ length: sequences }, () => context.getSequence())

  async function withSequence<Result>(use: (sequence: LlamaSequence) => Promise<Result>): Promise<Result> {
    const sequence = free.pop()
    if (sequence === undefined) throw new Error(`More than ${sequences} sequences at a time.`)
    try {
      return await use(sequence)
    } finally {
      await sequence.clearHistory()
      free.push(sequence)
    }
  }

  return {
    warnings,
    generate: (prompt, maxTokens, onToken, signal) =>
      withSequence(async (sequence) => {
        let count = 0
        for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogTokens: true })) {
          onToken(token)
          if (++count >= maxTokens || signal.aborted) return
        }
      }),
    score: (tokens) =>
      withSequence(async (sequence) => {
        const outputs = await sequence.controlledEvaluate(tokens.slice(0, -1).map((token) => [token, { generateNext: { logits: true } }] as const))
        return tokens.slice(1).map((token, index) => {
          const logits = outputs[index]?.next.logits
          if (logits === undefined) throw new Error(`llama.cpp gave no logits for position ${index}.`)
          return scoreOf(logits, token)
        })
      }),
    close: () => llama.dispose(),
  }
}

function scoreOf(logits: ReadonlyMap<number, number>, token: number): { top: number; logprob: number } {
  let top = -1
  let highest = Number.NEGATIVE_INFINITY
  for (const [other, logit] of logits) {
    if (!Number.isFinite(logit)) throw new Error('llama.cpp computed something that is not a number.')
    if (logit > highest) [top, highest] = [other, logit]
  }
  let total = 0
  for (const logit of logits.values()) total += Math.exp(logit - highest)
  return { top, logprob: logits.get(token)! - highest - Math.log(total) }
}
