/**
 * From logits to a token and its score. Everything is computed in double precision, and nothing depends on anything but
 * the row of logits, the request, the tokens generated so far and the token's position, so that an answer can be
 * reproduced, and a generation resumed anywhere.
 *
 * Scores are those of the model's own distribution, before any processing, temperature and truncation.
 */
import type { Sampling } from '../../shared/job.ts'
import { EngineError } from './engine.ts'
import type { TokenScore } from './engine.ts'
import type { LogitsProcessing } from './logits-processing.ts'
import { uniformAt } from './random.ts'
import { createTruncation, cutByShare, isKept } from './truncation.ts'

export interface Sampler {
  /**
   * Chooses the token at a position of the sequence (the prompt counts). The logits are processed first, if there is something to do. Then
   * temperature 0 takes the first of the highest ones. Otherwise temperature, minP, topK and topP apply in this order,
   * topP to what the others left, and a token is drawn from the rest. Of equally probable tokens those with lower ids are
   * kept first. Not every token may be banned. Throws `EngineError` `logits-not-finite`.
   */
  sample(logits: Float32Array, sampling: Sampling, position: number, processing?: LogitsProcessing | null): number
  /** The score of a token, and of the `top` most probable ones. Throws `EngineError` `logits-not-finite`. */
  score(logits: Float32Array, token: number, top: number): TokenScore
}

export function createSampler(vocabularySize: number): Sampler {
  const row = new Float64Array(vocabularySize)
  /** Highest logit - logit. */
  const gaps = new Float64Array(vocabularySize)
  /** exp(-gap / temperature): the probability but for a common factor; 0 for a token that is not kept. */
  const weights = new Float64Array(vocabularySize)
  const truncation = createTruncation(vocabularySize)

  function load(logits: Float32Array): void {
    for (let token = 0; token < vocabularySize; token++) {
      const logit = logits[token]!
      if (!Number.isFinite(logit)) throw new EngineError('logits-not-finite', 'The model computed something that is not a number.')
      row[token] = logit
    }
  }

  return {
    sample(logits, { temperature, topP, topK = 0, minP = 0, seed }, position, processing) {
      load(logits)
      processing?.apply(row)
      const first = firstMaximum(row)
      if (temperature === 0) return first
      const highest = row[first]!
      for (let token = 0; token < vocabularySize; token++) gaps[token] = highest - row[token]!
      let cut = cutByShare(minP, temperature)
      if (topK > 0) cut = truncation.byCount(gaps, topK, cut)
      let total = 0
      for (let token = 0; token < vocabularySize; token++) {
        const gap = gaps[token]!
        total += weights[token] = isKept(cut, gap, token) ? Math.exp(-gap / temperature) : 0
      }
      if (topP < 1) {
        cut = truncation.byWeight(gaps, weights, total, topP)
        total = 0
        for (let token = 0; token < vocabularySize; token++) if (isKept(cut, gaps[token]!, token)) total += weights[token]!
      }
      // By id and not by probability: two runs whose logits differ in the last digit then still draw the same token.
      let rest = uniformAt(seed, position) * total
      for (let token = 0; token < vocabularySize; token++) {
        if (!isKept(cut, gaps[token]!, token)) continue
        rest -= weights[token]!
        if (rest < 0) return token
      }
      return first
    },

    score(logits, token, top) {
      load(logits)
      const highest = row[firstMaximum(row)]!
      let total = 0
      for (let other = 0; other < vocabularySize; other++) total += Math.exp(row[other]! - highest)
      const logarithm = highest + Math.log(total)
      const scored = (other: number): { readonly token: number; readonly logprob: number } => ({ token: other, logprob: row[other]! - logarithm })
      return { ...scored(token), top: mostProbable(row, top).map(scored) }
    },
  }
}

/** The lowest id among the highest logits. */
function firstMaximum(logits: Float64Array): number {
  let best = 0
  for (let token = 1; token < logits.length; token++) if (logits[token]! > logits[best]!) best = token
  return best
}

/** Ids of the highest logits in falling order, lower ids first among equals. */
function mostProbable(logits: Float64Array, count: number): number[] {
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
