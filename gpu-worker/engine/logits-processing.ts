/**
 * What a request does to the model's logits before a token is chosen: small processors, each one parameter or two,
 * composed in a fixed order, which is that of vLLM (vllm/v1/sample/sampler.py):
 *
 *     min_tokens → logit_bias → repetition_penalty → frequency_penalty and presence_penalty
 *
 * and behind them temperature, min_p, top_k, top_p (sampler.ts). A processor changes the logits of the few tokens that it
 * is about and leaves the rest alone, so its cost does not grow with the vocabulary. All of it is a pure function of the
 * request and the tokens generated so far; counts are kept as tokens come, and can be rebuilt from them anywhere.
 *
 * A banned token has the logit -Infinity, and no later processor brings it back. Scores are no business of this file:
 * they are those of the model itself.
 */
import type { Sampling } from '../../shared/job.ts'
import type { SequenceRequest } from './engine.ts'

/** What the processors may know of a sequence. */
export interface TokenHistory {
  /** Tokens generated so far. */
  readonly length: number
  /** How often each token was generated. */
  readonly counts: ReadonlyMap<number, number>
  /** Every token of the prompt and of the generated text. */
  readonly seen: ReadonlySet<number>
}

/** Changes a row of logits, one per token of the vocabulary, in place. */
export type LogitsProcessor = (logits: Float64Array, history: TokenHistory) => void

/** OpenAI's smallest bias "should result in a ban": it is one here, whatever the range of a model's logits. */
export const banningBias = -100

/** min_tokens: the tokens that end the text are banned until it has that many. */
export function postponeEnd(minTokens: number, endTokens: readonly number[]): LogitsProcessor {
  return (logits, { length }) => {
    if (length < minTokens) for (const token of endTokens) logits[token] = Number.NEGATIVE_INFINITY
  }
}

/** logit_bias: added to the logits (OpenAI's API reference); -100 bans. */
export function addBias(bias: NonNullable<Sampling['logitBias']>): LogitsProcessor {
  return (logits) => {
    for (const [token, value] of bias) logits[token]! += value === banningBias ? Number.NEGATIVE_INFINITY : value
  }
}

/**
 * repetition_penalty of CTRL (Keskar et al., arXiv 1909.05858, section 4.1) in the form of Hugging Face's
 * RepetitionPenaltyLogitsProcessor, over prompt and generated text: positive logits are divided by it, negative ones
 * multiplied, so that above 1 both fall.
 */
export function penaliseRepetition(penalty: number): LogitsProcessor {
  return (logits, { seen }) => {
    for (const token of seen) logits[token] = logits[token]! < 0 ? logits[token]! * penalty : logits[token]! / penalty
  }
}

/**
 * frequency_penalty and presence_penalty, over the generated text alone: of the logit of a token that was generated c
 * times, `c * frequency + (c > 0) * presence` is taken (OpenAI's API documentation, "Frequency and presence penalties").
 */
export function penaliseOccurrence(frequency: number, presence: number): LogitsProcessor {
  return (logits, { counts }) => {
    for (const [token, count] of counts) logits[token] = logits[token]! - count * frequency - presence
  }
}

/** The processors of one sequence and what they remember of it. */
export interface LogitsProcessing {
  /** Changes a row of logits for the token that comes next, in place. */
  apply(logits: Float64Array): void
  /** Takes note of a token that was generated. */
  push(token: number): void
}

type ProcessedRequest = Pick<SequenceRequest, 'tokens' | 'sampling' | 'endTokens'>

/** Returns null for a request that leaves the logits as they are. */
export function createLogitsProcessing({ tokens, sampling, endTokens }: ProcessedRequest): LogitsProcessing | null {
  const { minTokens = 0, logitBias = [], repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = sampling
  const processors: LogitsProcessor[] = []
  if (minTokens > 0 && endTokens.length > 0) processors.push(postponeEnd(minTokens, endTokens))
  if (logitBias.length > 0) processors.push(addBias(logitBias))
  if (repetitionPenalty !== 1) processors.push(penaliseRepetition(repetitionPenalty))
  if (frequencyPenalty !== 0 || presencePenalty !== 0) processors.push(penaliseOccurrence(frequencyPenalty, presencePenalty))
  if (processors.length === 0) return null

  const counts = new Map<number, number>()
  const seen = new Set(tokens)
  let length = 0
  return {
    apply(logits) {
      for (const process of processors) process(logits, { length, counts, seen })
    },
    push(token) {
      length++
      counts.set(token, (counts.get(token) ?? 0) + 1)
      seen.add(token)
    },
  }
}

/** Whether a request bans every token, so that nothing could be generated. Biases are for tokens of the vocabulary. */
export function bansEverything({ sampling, endTokens }: Omit<ProcessedRequest, 'tokens'>, vocabularySize: number): boolean {
  const { minTokens = 0, logitBias = [] } = sampling
  const banned = new Set(logitBias.filter(([, value]) => value === banningBias).map(([token]) => token))
  if (minTokens > 0) for (const token of endTokens) banned.add(token)
  return banned.size >= vocabularySize
}
