/**
 * What the rest of the worker knows of the engine: sequences of token ids go in, sampled token ids come out, one step
 * at a time, many sequences side by side. The engine knows nothing of text, jobs, Redis or moderation; turning tokens
 * into text and deciding what may leave is the caller's work.
 */
import type { Sampling } from '../../shared/job.ts'

export interface SequenceRequest {
  /** At least one token; the caller has checked that it fits the context. */
  readonly tokens: readonly number[]
  /** Tokens to sample at most. 0 scores the prompt and samples nothing. */
  readonly maxTokens: number
  readonly sampling: Sampling
  /** The sequence ends after one of these is sampled (the token itself is reported). Empty to ignore them. */
  readonly endTokens: readonly number[]
  /** Alternatives to report per token; 0 for the token's own score alone; null for no scores. */
  readonly logprobs: number | null
  /** Also score the prompt's tokens; needs `logprobs`, and computes all of the prompt. */
  readonly scorePrompt: boolean
  /**
   * Keys and values of the prompt's beginning are shared with sequences of the same scope only. Without one they are
   * shared with all that have none either, and how fast the first token comes tells whether somebody's prompt began alike.
   */
  readonly isolation?: string
}

export interface TokenScore {
  readonly token: number
  /** Natural logarithm of the model's probability before temperature and truncation; null for a prompt's first token. */
  readonly logprob: number | null
  readonly top: readonly { readonly token: number; readonly logprob: number }[]
}

export type SequenceStep =
  /** Sent once, before any token, when `scorePrompt` was asked for. */
  | { readonly type: 'prompt-scores'; readonly scores: readonly TokenScore[] }
  | { readonly type: 'token'; readonly token: number; readonly score: TokenScore | null }
  | { readonly type: 'end'; readonly reason: 'end-token' | 'length' }

export interface EngineDescription {
  readonly modelId: string
  readonly weightsDigest: string
  readonly precision: 'fp32' | 'fp16' | 'int8' | 'int4'
  /** Tokens of a sequence at most: the model's context, or less where slots are shorter. */
  readonly contextLength: number
  readonly vocabularySize: number
  readonly endTokens: readonly number[]
  /** Sequences that can run side by side. */
  readonly slots: number
  readonly device: 'cpu'
}

/** Counted since the engine started. */
export interface EngineStatistics {
  /** Prompt tokens that went through the model. */
  readonly computedPromptTokens: number
  /** Prompt tokens whose keys and values were there from an earlier prompt. */
  readonly reusedPromptTokens: number
}

export interface Engine {
  readonly description: EngineDescription
  readonly statistics: EngineStatistics
  /**
   * Runs one sequence; it waits when all slots are taken. The iterator yields in batches (all that is there) and ends
   * after `end`. Aborting the signal, or leaving the loop, frees the slot within one forward pass; an abort ends the
   * iteration without an `end` step. Throws `EngineError` when a forward pass fails or yields NaN or Inf.
   */
  generate(request: SequenceRequest, signal: AbortSignal): AsyncIterable<readonly SequenceStep[]>
  /** Stops the engine's thread; sequences that still run throw `EngineError`. */
  close(): Promise<void>
}

/**
 * `start-failed`: the model can not be loaded, or its KV cache does not fit. `forward-pass-failed`, `logits-not-finite`: this
 * sequence can not go on, others can. `thread-died`, `closed`: the engine runs nothing any more.
 */
export type EngineFailure = 'start-failed' | 'forward-pass-failed' | 'logits-not-finite' | 'thread-died' | 'closed'

export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly failure: EngineFailure

  constructor(failure: EngineFailure, message: string, options?: ErrorOptions) {
    super(message, options)
    this.failure = failure
  }
}
