/**
 * One answer in one of OpenAI's two formats. The generation flow speaks in text, scores and finish reasons; a format
 * turns them into the objects of its API: chunks for a stream, or one body for the whole.
 */
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { FinishReason, ScoredToken } from '../../shared/stream-events.ts'

export interface AnswerHeader {
  /** The first job's, where there are several. */
  readonly jobId: string
  readonly model: ModelRegistration
  /** Unix seconds. */
  readonly created: number
  /** Streams only: every chunk carries `usage`, null but in the last one. */
  readonly includeUsage: boolean
  readonly withLogprobs: boolean
}

export interface TokenUsage {
  readonly promptTokens: number
  readonly completionTokens: number
}

export interface WholeText {
  readonly text: string
  readonly logprobs: readonly ScoredToken[]
  readonly finishReason: FinishReason
}

/** Made anew for each answer: what was shown of a choice so far counts. `index` is the choice's. */
export interface AnswerFormat {
  /** Chunks before any text. */
  opening(index: number): readonly object[]
  /** Chunks for released text; none when there is nothing to show. */
  delta(index: number, text: string, logprobs: readonly ScoredToken[]): readonly object[]
  closing(index: number, finishReason: FinishReason): readonly object[]
  usage(usage: TokenUsage): object
  whole(choices: readonly WholeText[], usage: TokenUsage | undefined): object
}

/** One of what `create` makes for each choice, made when it is first asked for. */
export function perChoice<State>(create: () => State): (index: number) => State {
  const states = new Map<number, State>()
  return (index) => {
    const state = states.get(index) ?? create()
    states.set(index, state)
    return state
  }
}

/** `cmpl-…` and `chatcmpl-…` share their random part with the job's id, so that one can be found by the other. */
export function answerId(prefix: 'cmpl' | 'chatcmpl', jobId: string): string {
  return `${prefix}-${jobId.slice('job_'.length)}`
}

/** Tells which weights answered: the first 12 hexadecimal digits of their digest. */
export function systemFingerprint(model: ModelRegistration): string {
  return `fp_${model.weightsDigest.slice('sha256:'.length, 'sha256:'.length + 12)}`
}

export function usageObject({ promptTokens, completionTokens }: TokenUsage): object {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens }
}
