/**
 * One answer in one of OpenAI's two formats. The generation flow speaks in text, scores and finish reasons; a format
 * turns them into the objects of its API: chunks for a stream, or one body for the whole.
 */
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { FinishReason, ScoredToken } from '../../shared/stream-events.ts'

export interface AnswerHeader {
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

export interface WholeAnswer {
  readonly text: string
  readonly logprobs: readonly ScoredToken[]
  readonly finishReason: FinishReason
  readonly usage: TokenUsage | undefined
}

export interface AnswerFormat {
  /** Chunks before any text. */
  opening(): readonly object[]
  /** Chunks for released text; none when there is nothing to show. */
  delta(text: string, logprobs: readonly ScoredToken[]): readonly object[]
  closing(finishReason: FinishReason): readonly object[]
  usage(usage: TokenUsage): object
  whole(answer: WholeAnswer): object
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
