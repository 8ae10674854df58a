/**
 * The work of one job between a checked prompt and its last event: forward passes in, events out. Everything that
 * becomes an event comes from the text release. Queue, leases and what to do about failures are the caller's.
 */
import type { Policy } from '../../safety/policy.ts'
import type { GenerationRequest } from '../../shared/job.ts'
import type { FinishReason, StreamEvent } from '../../shared/stream-events.ts'
import type { Engine, SequenceRequest, SequenceStep } from '../engine/engine.ts'
import type { Tokenizer } from '../engine/tokenizer.ts'
import type { PreparedPrompt } from './prepare-prompt.ts'
import { createTextRelease } from './text-release.ts'

export interface GenerationOptions {
  readonly engine: Engine
  readonly tokenizer: Tokenizer
  readonly policy: Policy
  readonly request: GenerationRequest
  readonly prompt: PreparedPrompt
  /** Prompts share computed beginnings within this scope only. */
  readonly isolation: string
  /** Called after each batch of steps, often without events: withheld text makes none. */
  readonly publish: (events: readonly StreamEvent[]) => void
  /**
   * Called for each sampled token that counts. The token that ends the text stands for no text and does not count, as in
   * OpenAI's API: usage equals the number of tokens that the client could be shown.
   */
  readonly onToken: () => void
  readonly signal: AbortSignal
}

export interface GenerationEnd {
  /** Events that were not published yet; they belong in front of the terminal one. */
  readonly events: readonly StreamEvent[]
  readonly finishReason: FinishReason
}

/** Resolves with null when the signal stopped it. Throws `EngineError`. */
export async function generateText(options: GenerationOptions): Promise<GenerationEnd | null> {
  const { engine, tokenizer, policy, request, prompt, isolation, publish, onToken, signal } = options
  const scored = request.logprobs !== null
  const release = createTextRelease({ tokenizer, stop: request.stop, minTokens: request.sampling.minTokens ?? 0, policy, scored })
  const sequence: SequenceRequest = {
    tokens: prompt.tokens,
    maxTokens: prompt.maxTokens,
    sampling: request.sampling,
    endTokens: request.ignoreEos ? [] : engine.description.endTokens,
    logprobs: request.logprobs,
    scorePrompt: scored && request.echo,
    isolation,
  }
  const echoed = prompt.tokens.slice(prompt.startTokens)
  if (request.echo && !sequence.scorePrompt) {
    release.pushPrompt(echoed, null)
    publish(release.take())
  }

  /** Returns why the text ends with this step, if it does. */
  function take(step: SequenceStep): FinishReason | null {
    if (step.type === 'end') {
      release.end()
      if (release.state === 'open') return step.reason === 'length' ? 'length' : 'stop'
    } else if (step.type === 'prompt-scores') release.pushPrompt(echoed, step.scores.slice(prompt.startTokens))
    else if (!sequence.endTokens.includes(step.token)) {
      onToken()
      release.pushToken(step.token, step.score)
    }
    return release.state === 'open' ? null : release.state === 'blocked' ? 'content_filter' : 'stop'
  }

  if (release.state === 'blocked') return { events: [], finishReason: 'content_filter' }
  for await (const steps of engine.generate(sequence, signal)) {
    for (const step of steps) {
      const finishReason = take(step)
      if (finishReason !== null) return { events: release.take(), finishReason }
    }
    publish(release.take())
  }
  return null
}
