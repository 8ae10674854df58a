/** Phigate's engine as a contender: with its thread, its messages and its sampler, as the worker uses it. */
import { createEngine } from '../../gpu-worker/engine/create-engine.ts'
import type { SequenceRequest } from '../../gpu-worker/engine/engine.ts'
import type { Contender, ContenderSpecification } from './contender.ts'

export async function openPhigate({ path, threads, sequences }: ContenderSpecification): Promise<Contender> {
  const warnings: string[] = []
  process.on('warning', ({ message }) => warnings.push(message))
  // A slot is as long as the context, but only what sequences use of it is ever touched.
  const engine = await createEngine({ modelFolder: path, slots: sequences, keyValueBudgetBytes: Number.POSITIVE_INFINITY, threads })
  const request = (tokens: readonly number[], maxTokens: number): SequenceRequest => ({
    tokens,
    maxTokens,
    sampling: { temperature: 0, topP: 1, seed: 0 },
    endTokens: [],
    logprobs: null,
    scorePrompt: false,
  })

  return {
    warnings,
    async generate(prompt, maxTokens, onToken, signal) {
      for await (const steps of engine.generate(request(prompt, maxTokens), signal)) {
        for (const step of steps) if (step.type === 'token') onToken(step.token)
      }
    },
    async score(tokens) {
      const scoring = { ...request(tokens, 0), logprobs: 1, scorePrompt: true }
      for await (const steps of engine.generate(scoring, new AbortController().signal)) {
        for (const step of steps) {
          if (step.type === 'prompt-scores') return step.scores.slice(1).map(({ top, logprob }) => ({ top: top[0]!.token, logprob: logprob! }))
        }
      }
      throw new Error('The engine gave no scores.')
    },
    close: () => engine.close(),
  }
}
