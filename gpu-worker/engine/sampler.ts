/**
 * From logits to a token and its score. Everything is computed in double precision, and nothing depends on anything but
 * the row of logits, the sampling parameters and the token's position, so that an answer can be reproduced.
 *
 * Scores are those of the model's own distribution, before temperature and truncation. No other logits processing.
 */
import type { Sampling } from '../../shared/job.ts'
import { EngineError } from './engine.ts'
import type { TokenScore } from './engine.ts'
import { uniformAt } from './random.ts'

export interface Sampler {
  /**
   * Chooses the token at a position of the sequence (the prompt counts). Temperature 0 takes the first of the most
   * probable tokens. Otherwise one is drawn from the smallest set of most probable tokens whose probability, after
   * temperature, reaches `topP` (nucleus sampling: Holtzman et al., arXiv 1904.09751); of equally probable tokens those
   * with lower ids come first. Throws `EngineError` `logits-not-finite`.
   */
  sample(logits: Float32Array, sampling: Sampling, position: number): number
  /** The score of a token, and of the `top` most probable ones. Throws `EngineError` `logits-not-finite`. */
  score(logits: Float32Array, token: number, top: number): TokenScore
}

/** Histogram of nucleus sampling: buckets of gaps to the highest logit; the last one takes all that are larger. */
const bucketsPerUnit = 32
const buckets = 1024

export function createSampler(vocabularySize: number): Sampler {
  // (highest logit - logit) / temperature, and exp(-gap), which is the probability but for a common factor.
  const gaps = new Float64Array(vocabularySize)
  const weights = new Float64Array(vocabularySize)
  const bucketWeights = new Float64Array(buckets)
  const bucketOf = (gap: number): number => Math.min(Math.floor(gap * bucketsPerUnit), buckets - 1)

  /** The last token of the nucleus: a token belongs to it with a smaller gap, or the same gap and no higher id. */
  function nucleusEnd(topP: number): { readonly gap: number; readonly token: number } {
    bucketWeights.fill(0)
    let total = 0
    for (let token = 0; token < vocabularySize; token++) {
      const weight = weights[token]!
      total += weight
      bucketWeights[bucketOf(gaps[token]!)]! += weight
    }
    const wanted = topP * total
    let reached = 0
    let bucket = 0
    while (bucket < buckets - 1 && reached + bucketWeights[bucket]! < wanted) reached += bucketWeights[bucket++]!
    const candidates: number[] = []
    for (let token = 0; token < vocabularySize; token++) {
      if (bucketOf(gaps[token]!) === bucket) candidates.push(token)
    }
    candidates.sort((a, b) => gaps[a]! - gaps[b]! || a - b)
    for (const token of candidates) {
      reached += weights[token]!
      if (reached >= wanted) return { gap: gaps[token]!, token }
    }
    return everything
  }

  return {
    sample(logits, { temperature, topP, seed }, position) {
      const first = firstMaximum(logits)
      if (temperature === 0) return first
      const highest = logits[first]!
      for (let token = 0; token < vocabularySize; token++) {
        const gap = (highest - logits[token]!) / temperature
        gaps[token] = gap
        weights[token] = Math.exp(-gap)
      }
      const end = topP < 1 ? nucleusEnd(topP) : everything
      const belongs = (token: number): boolean => {
        const gap = gaps[token]!
        return gap < end.gap || (gap === end.gap && token <= end.token)
      }
      let total = 0
      for (let token = 0; token < vocabularySize; token++) if (belongs(token)) total += weights[token]!
      // By id and not by probability: two runs whose logits differ in the last digit then still draw the same token.
      let rest = uniformAt(seed, position) * total
      for (let token = 0; token < vocabularySize; token++) {
        if (!belongs(token)) continue
        rest -= weights[token]!
        if (rest < 0) return token
      }
      return first
    },

    score(logits, token, top) {
      const highest = logits[firstMaximum(logits)]!
      let total = 0
      for (let other = 0; other < vocabularySize; other++) total += Math.exp(logits[other]! - highest)
      const logarithm = highest + Math.log(total)
      const scored = (other: number): { readonly token: number; readonly logprob: number } => ({ token: other, logprob: logits[other]! - logarithm })
      return { ...scored(token), top: mostProbable(logits, top).map(scored) }
    },
  }
}

const everything = { gap: Number.POSITIVE_INFINITY, token: Number.POSITIVE_INFINITY }

/** The lowest id among the highest logits. Throws `EngineError` `logits-not-finite` when any logit is NaN or infinite. */
function firstMaximum(logits: Float32Array): number {
  let best = 0
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!
    if (!Number.isFinite(logit)) throw new EngineError('logits-not-finite', 'The model computed something that is not a number.')
    if (logit > logits[best]!) best = token
  }
  return best
}

/** Ids of the highest logits in falling order, lower ids first among equals. */
function mostProbable(logits: Float32Array, count: number): number[] {
  const best: number[] = []
  if (count === 0) return best
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!
    if (best.length === count && logit <= logits[best[count - 1]!]!) continue
    if (best.length === count) best.pop()
    let at = best.length
    while (at > 0 && logits[best[at - 1]!]! < logit) at--
    best.splice(at, 0, token)
  }
  return best
}
