/** A generation loop over a real model, what its sequences have yielded, the forward passes it ran, and a way to make them fail. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { graphFile } from '../../model/manifest.ts'
import type { SequenceRequest, SequenceStep } from '../engine.ts'
import type { SequenceUpdate } from '../engine-messages.ts'
import { openForwardPass } from '../forward-pass.ts'
import type { ForwardPass } from '../forward-pass.ts'
import { createGenerationLoop } from '../generation-loop.ts'
import type { GenerationLoop } from '../generation-loop.ts'
import { createKeyValueCache } from '../key-value-cache.ts'
import { createPrefixStore } from '../prefix-store.ts'
import type { PrefixStore } from '../prefix-store.ts'
import { createSampler } from '../sampler.ts'
import type { RandomModel } from './random-model.ts'

/** What a sequence has yielded so far. */
export interface Result {
  readonly steps: SequenceStep[]
  failure: SequenceUpdate['failure']
}

export interface OpenLoopOptions {
  readonly slots: number
  readonly chunkTokens?: number
  /** Blocks for prefixes, default none. */
  readonly blocks?: number
}

export interface OpenLoop {
  readonly loop: GenerationLoop
  readonly prefixes: PrefixStore
  /** Every forward pass so far: its sequences and its tokens. */
  readonly passes: readonly { readonly batch: number; readonly tokens: number }[]
  resultOf(id: number): Result
  turn(): Promise<void>
  /** Turns until nothing is left to do. */
  finish(): Promise<void>
  /** Whether forward passes fail from now on. */
  fail(fails: boolean): void
  /** The next forward pass of more sequences than `slot` computes NaN for this slot, and writes it all over it. */
  spoil(slot: number): void
  close(): Promise<void>
}

export const greedy = { temperature: 0, topP: 1, seed: 0 }

export const request = (changes: Partial<SequenceRequest> & Pick<SequenceRequest, 'tokens'>): SequenceRequest => ({
  maxTokens: 8,
  sampling: greedy,
  endTokens: [],
  logprobs: 2,
  scorePrompt: false,
  ...changes,
})

export const tokensOf = ({ steps }: Result): number[] => steps.flatMap((step) => (step.type === 'token' ? [step.token] : []))

export async function openLoop({ folder, manifest }: RandomModel, { slots, chunkTokens = 5, blocks = 0 }: OpenLoopOptions): Promise<OpenLoop> {
  const { vocabularySize, weightsDigest } = manifest
  const cache = createKeyValueCache(manifest, slots, { blocks })
  const prefixes = createPrefixStore(cache, weightsDigest)
  const maximumTokens = Math.max(chunkTokens, slots)
  const pass = await openForwardPass({ graphPath: join(folder, graphFile), manifest, cache, maximumTokens, threads: 1 }, () => undefined)
  const passes: { batch: number; tokens: number }[] = []
  let failing = false
  let spoilt: number | null = null
  const forwardPass: ForwardPass = {
    ...pass,
    async run(input) {
      passes.push({ batch: input.lengths.length, tokens: input.tokens.length })
      if (failing) throw new Error('out of order')
      const logits = await pass.run(input)
      if (spoilt !== null && input.lengths.length > spoilt) {
        logits.fill(Number.NaN, spoilt * vocabularySize, (spoilt + 1) * vocabularySize)
        for (const { past } of cache.tensors) {
          past.subarray(spoilt * cache.slotElements).forEach((value, index, slot) => value !== 0 && index < cache.slotElements && (slot[index] = Number.NaN))
        }
        spoilt = null
      }
      return logits
    },
  }
  const loop = createGenerationLoop({ forwardPass, cache, prefixes, sampler: createSampler(vocabularySize), vocabularySize, chunkTokens })
  const results = new Map<number, Result>()
  const resultOf = (id: number): Result => {
    const result = results.get(id) ?? { steps: [], failure: null }
    results.set(id, result)
    return result
  }
  async function turn(): Promise<void> {
    for (const { id, steps, failure } of await loop.turn()) {
      const result = resultOf(id)
      expect(result.failure).toBeNull()
      expect(result.steps.at(-1)?.type).not.toBe('end')
      result.steps.push(...steps)
      result.failure = failure
    }
  }
  return {
    loop,
    prefixes,
    passes,
    resultOf,
    turn,
    async finish() {
      while (!loop.idle) await turn()
    },
    fail: (fails) => (failing = fails),
    spoil: (slot) => (spoilt = slot),
    close: () => pass.close(),
  }
}

/** What a sequence yields when nothing else runs and no prefix is known. */
export async function runAlone(model: RandomModel, sequence: SequenceRequest): Promise<Result> {
  const { loop, finish, resultOf, close } = await openLoop(model, { slots: 1 })
  loop.start(1, sequence)
  await finish()
  await close()
  return resultOf(1)
}

/** The same tokens and, within the tolerance, the same scores. */
export function expectSame(actual: Result, expected: Result, tolerance = 1e-4): void {
  expect(actual.failure).toBeNull()
  expect(tokensOf(actual)).toEqual(tokensOf(expected))
  expect(actual.steps.map(({ type }) => type)).toEqual(expected.steps.map(({ type }) => type))
  const logprobs = (result: Result): number[] =>
    result.steps
      .flatMap((step) => (step.type === 'token' ? [step.score!] : step.type === 'prompt-scores' ? step.scores : []))
      .flatMap((score) => [score.logprob ?? 0, ...score.top.map(({ logprob }) => logprob)])
  const expectedLogprobs = logprobs(expected)
  logprobs(actual).forEach((logprob, index) => expect(Math.abs(logprob - expectedLogprobs[index]!)).toBeLessThan(tolerance))
}
