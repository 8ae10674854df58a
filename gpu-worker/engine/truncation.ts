/**
 * Truncation of a distribution: which tokens a draw may fall on. Every kind keeps the most probable tokens, so what it
 * keeps is a beginning of one order: by rising gap to the highest logit, and lower ids first among equals. A `Cut` is
 * the end of such a beginning, and of several cuts the shortest one counts.
 *
 * The order is that of the gaps in double precision: logits that differ by less than their distance to the highest one
 * can show are equally probable. Nothing is sorted but the one bucket that a cut falls into.
 */

/** The last token that is kept. */
export interface Cut {
  readonly gap: number
  readonly token: number
}

export const everything: Cut = { gap: Number.POSITIVE_INFINITY, token: Number.POSITIVE_INFINITY }

export function isKept(cut: Cut, gap: number, token: number): boolean {
  return gap < cut.gap || (gap === cut.gap && token <= cut.token)
}

/**
 * min_p (Nguyen et al., arXiv 2407.01082): tokens of at least that share of the highest probability, after temperature.
 * Ties at the threshold are all kept, so that 1 keeps every one of the most probable tokens.
 */
export function cutByShare(minP: number, temperature: number): Cut {
  return minP > 0 ? { gap: -Math.log(minP) * temperature, token: Number.POSITIVE_INFINITY } : everything
}

export interface Truncation {
  /** top_k (Fan et al., arXiv 1805.04833): `count` tokens, fewer only when there are no more or `within` is shorter. */
  byCount(gaps: Float64Array, count: number, within: Cut): Cut
  /**
   * top_p, nucleus sampling (Holtzman et al., arXiv 1904.09751): the shortest beginning whose weight reaches `share` of
   * `total`. Weights of tokens that are not kept already are 0, and `total` is the sum of the others.
   */
  byWeight(gaps: Float64Array, weights: Float64Array, total: number, share: number): Cut
}

/** Buckets of the histogram, in gaps; the last one takes all that are larger. */
const bucketsPerUnit = 32
const buckets = 1024
const bucketOf = (gap: number): number => Math.min(Math.floor(gap * bucketsPerUnit), buckets - 1)

export function createTruncation(vocabularySize: number): Truncation {
  const histogram = new Float64Array(buckets)

  /** The token at which the mass of those before it and its own reaches `wanted`, given the mass of each bucket. */
  function reach(gaps: Float64Array, massOf: (token: number) => number, wanted: number): Cut {
    let reached = 0
    let bucket = 0
    while (bucket < buckets - 1 && reached + histogram[bucket]! < wanted) reached += histogram[bucket++]!
    const candidates: number[] = []
    for (let token = 0; token < vocabularySize; token++) {
      if (bucketOf(gaps[token]!) === bucket) candidates.push(token)
    }
    candidates.sort((a, b) => gaps[a]! - gaps[b]! || a - b)
    for (const token of candidates) {
      reached += massOf(token)
      if (reached >= wanted) return { gap: gaps[token]!, token }
    }
    return everything
  }

  return {
    byCount(gaps, count, within) {
      if (count >= vocabularySize) return within
      histogram.fill(0)
      for (let token = 0; token < vocabularySize; token++) histogram[bucketOf(gaps[token]!)]!++
      const cut = reach(gaps, () => 1, count)
      return isKept(within, cut.gap, cut.token) ? cut : within
    },
    byWeight(gaps, weights, total, share) {
      histogram.fill(0)
      for (let token = 0; token < vocabularySize; token++) histogram[bucketOf(gaps[token]!)]! += weights[token]!
      return reach(gaps, (token) => weights[token]!, share * total)
    },
  }
}
