import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Sampling } from '../../shared/job.ts'
import { createLogitsProcessing } from './logits-processing.ts'
import { uniformAt } from './random.ts'
import { createSampler } from './sampler.ts'

const logit = fc.oneof(fc.float({ min: -20, max: 20, noNaN: true }), fc.integer({ min: -3, max: 3 }), fc.constantFrom(-1e30, 1e30))
const row = fc.array(logit, { minLength: 1, maxLength: 60 }).map((values) => Float32Array.from(values))

/** Probabilities by definition. */
function softmax(logits: Float32Array, temperature = 1): number[] {
  const highest = Math.max(...logits)
  const weights = Array.from(logits, (value) => Math.exp((value - highest) / temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

/** Logits that differ by less than their distance to the highest one can show are equally probable. */
function byProbability(logits: Float32Array): number[] {
  const highest = Math.max(...logits)
  const gaps = Array.from(logits, (value) => highest - value)
  return Array.from(logits.keys()).toSorted((a, b) => gaps[a]! - gaps[b]! || a - b)
}

describe('greedy', () => {
  test('takes the first of the highest logits', () => {
    fc.assert(
      fc.property(row, (logits) => {
        const token = createSampler(logits.length).sample(logits, { temperature: 0, topP: 0.1, seed: 1 }, 0)
        expect(token).toBe(logits.indexOf(Math.max(...logits)))
      }),
    )
  })

  test('a temperature that tends to 0 becomes greedy', () => {
    const logits = Float32Array.of(1, 3, 2.999, 0)
    for (const temperature of [1e-6, 1e-300, Number.MIN_VALUE]) {
      expect(createSampler(4).sample(logits, { temperature, topP: 1, seed: 5 }, 9)).toBe(1)
    }
  })
})

describe('nucleus', () => {
  test('only tokens of the smallest set that reaches topP are drawn, for any logits', () => {
    fc.assert(
      fc.property(row, fc.double({ min: 0.01, max: 1, noNaN: true }), fc.constantFrom(0.3, 1, 2), fc.nat(), (logits, topP, temperature, seed) => {
        const sampler = createSampler(logits.length)
        const probabilities = softmax(logits, temperature)
        const order = byProbability(logits)
        const drawn = new Set(Array.from({ length: 30 }, (_, position) => sampler.sample(logits, { temperature, topP, seed }, position)))
        for (const token of drawn) {
          const before = order.slice(0, order.indexOf(token)).reduce((sum, other) => sum + probabilities[other]!, 0)
          expect(before).toBeLessThan(topP + 1e-9)
          expect(probabilities[token]).toBeGreaterThan(0)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('tokens are drawn as often as they are probable', () => {
    const logits = Float32Array.of(0, 2, 1, -1, 1.5, 0.5)
    const [temperature, topP, count] = [0.8, 0.9, 20_000]
    const probabilities = softmax(logits, temperature)
    const order = byProbability(logits)
    let reached = 0
    const nucleus = order.filter((token) => {
      const belongs = reached < topP
      reached += probabilities[token]!
      return belongs
    })
    const total = nucleus.reduce((sum, token) => sum + probabilities[token]!, 0)
    expect(nucleus.length).toBeLessThan(logits.length)
    const sampler = createSampler(logits.length)
    const found = new Float64Array(logits.length)
    for (let position = 0; position < count; position++) found[sampler.sample(logits, { temperature, topP, seed: 3 }, position)]!++
    for (const token of order) {
      const expected = nucleus.includes(token) ? probabilities[token]! / total : 0
      // Four standard deviations; the draws are always the same.
      expect(Math.abs(found[token]! / count - expected)).toBeLessThanOrEqual(4 * Math.sqrt((expected * (1 - expected)) / count))
    }
  })

  test('of equally probable tokens the lower ids belong to it first', () => {
    const logits = new Float32Array(8)
    const sampler = createSampler(8)
    const drawn = new Set(Array.from({ length: 200 }, (_, position) => sampler.sample(logits, { temperature: 1, topP: 0.5, seed: 1 }, position)))
    expect([...drawn].toSorted()).toEqual([0, 1, 2, 3])
  })

  test('a full vocabulary with a long tail', () => {
    const size = 51_200
    const logits = Float32Array.from({ length: size }, (_, token) => ((token * 7919) % size) / 2000)
    const sampler = createSampler(size)
    const probabilities = softmax(logits)
    const order = byProbability(logits)
    let reached = 0
    const nucleus = new Set(order.filter((token) => {
      const belongs = reached < 0.95
      reached += probabilities[token]!
      return belongs
    }))
    for (let position = 0; position < 300; position++) {
      expect(nucleus.has(sampler.sample(logits, { temperature: 1, topP: 0.95, seed: 2 }, position))).toBe(true)
    }
  })
})

/** Which tokens may be drawn, by definition and by sorting, from a row that was processed already. */
function keptTokens(logits: Float32Array, { temperature, topP, topK = 0, minP = 0 }: Sampling): Set<number> {
  const probabilities = softmax(logits, temperature)
  const order = byProbability(logits)
  // In logarithms: a probability of at least minP times the highest one.
  const likely = order.filter((token) => logits[order[0]!]! - logits[token]! <= -Math.log(minP) * temperature)
  const few = topK > 0 ? likely.slice(0, topK) : likely
  const total = few.reduce((sum, token) => sum + probabilities[token]!, 0)
  let reached = 0
  return new Set(few.filter((token) => {
    const belongs = reached < topP * total
    reached += probabilities[token]!
    return belongs
  }))
}

const anySampling: fc.Arbitrary<Sampling> = fc.record({
  temperature: fc.constantFrom(0.05, 0.3, 1, 2),
  // Shares that no sum of equal probabilities meets exactly, where rounding would decide.
  topP: fc.constantFrom(0.3141592, 0.6180339, 0.9137, 1),
  topK: fc.constantFrom(undefined, 1, 2, 5, 30, 1000),
  minP: fc.constantFrom(undefined, 0, 0.0137, 0.4321, 1),
  seed: fc.nat(),
})

describe('truncation', () => {
  test('min_p, top_k and top_p together keep what the definitions keep, and the draw follows the probabilities by id', () => {
    fc.assert(
      fc.property(row, anySampling, fc.nat(1000), (logits, sampling, position) => {
        const kept = keptTokens(logits, sampling)
        const weights = softmax(logits, sampling.temperature).map((weight, token) => (kept.has(token) ? weight : 0))
        let rest = uniformAt(sampling.seed, position) * weights.reduce((sum, weight) => sum + weight, 0)
        const expected = weights.findIndex((weight) => (rest -= weight) < 0)
        expect(createSampler(logits.length).sample(logits, sampling, position)).toBe(expected)
      }),
      { numRuns: 2000 },
    )
  })

  test('top_k 1 is greedy at any temperature, ties included', () => {
    fc.assert(
      fc.property(row, fc.constantFrom(0.1, 1, 2), fc.nat(), (logits, temperature, seed) => {
        const sampler = createSampler(logits.length)
        const greedy = sampler.sample(logits, { temperature: 0, topP: 1, seed }, 3)
        expect(sampler.sample(logits, { temperature, topP: 1, topK: 1, seed }, 3)).toBe(greedy)
      }),
    )
  })

  test('min_p 1 keeps the most probable tokens and no other', () => {
    const logits = Float32Array.of(1, 5, 4.9, 5, -3)
    const sampler = createSampler(5)
    const drawn = new Set(Array.from({ length: 100 }, (_, position) => sampler.sample(logits, { temperature: 2, topP: 1, minP: 1, seed: 1 }, position)))
    expect([...drawn].toSorted()).toEqual([1, 3])
  })

  test('of a whole vocabulary, also where most of it lies far below', () => {
    const size = 51_200
    const sampler = createSampler(size)
    for (const scale of [0.01, 1, 100]) {
      const logits = Float32Array.from({ length: size }, (_, token) => (scale * ((token * 7919) % size)) / 2000)
      for (const topK of [7, 20_000]) {
        const kept = new Set(byProbability(logits).slice(0, topK))
        for (let position = 0; position < 20; position++) {
          expect(kept.has(sampler.sample(logits, { temperature: 2, topP: 1, topK, seed: 4 }, position))).toBe(true)
        }
      }
    }
  })
})

describe('the distribution that is drawn from', () => {
  const logits = Float32Array.of(0, 2, 1, -1, 1.5, 0.5, -4, 1.8)
  const draws = 20_000
  // The 99.9 % quantiles of the chi-square distribution by degrees of freedom; the draws are always the same.
  const quantiles = [0, 10.8, 13.8, 16.3, 18.5, 20.5, 22.5, 24.3]

  test.each<[string, Partial<Sampling>]>([
    ['temperature alone', { temperature: 1.3 }],
    ['top_k', { topK: 4 }],
    ['min_p', { minP: 0.2 }],
    ['top_p', { topP: 0.85 }],
    ['all of them', { temperature: 2, topK: 6, minP: 0.1, topP: 0.9 }],
    ['a bias', { logitBias: [[3, 3], [1, -100]] }],
    ['penalties', { frequencyPenalty: 0.4, presencePenalty: 0.7, repetitionPenalty: 1.5 }],
  ])('%s: counts agree with the probabilities by a chi-square test', (_name, changes) => {
    const sampling: Sampling = { temperature: 1, topP: 1, seed: 11, ...changes }
    const request = { tokens: [0, 1], sampling, endTokens: [] }
    const processing = createLogitsProcessing(request)
    for (const token of [4, 4, 7]) processing?.push(token)
    const processed = Float64Array.from(logits)
    processing?.apply(processed)
    const finite = Float32Array.from(processed, (value) => Math.max(value, -1e30))
    const kept = keptTokens(finite, sampling)
    const probabilities = softmax(finite, sampling.temperature).map((value, token) => (kept.has(token) ? value : 0))
    const total = probabilities.reduce((sum, value) => sum + value, 0)
    const sampler = createSampler(logits.length)
    const found = new Float64Array(logits.length)
    for (let position = 0; position < draws; position++) found[sampler.sample(logits, sampling, position, processing)]!++
    const possible = probabilities.flatMap((probability, token) => (probability > 0 ? [{ expected: (draws * probability) / total, found: found[token]! }] : []))
    const chiSquare = possible.reduce((sum, one) => sum + (one.found - one.expected) ** 2 / one.expected, 0)
    expect(possible.reduce((sum, one) => sum + one.found, 0)).toBe(draws)
    expect(possible.length).toBeGreaterThan(1)
    expect(chiSquare).toBeLessThan(quantiles[possible.length - 1]!)
  })
})

test('scores are those of the model, whatever was done to the logits of the draw', () => {
  const logits = Float32Array.of(3, 1, 2)
  const sampler = createSampler(3)
  const before = sampler.score(logits, 1, 3)
  const sampling: Sampling = { temperature: 0, topP: 1, seed: 1, logitBias: [[0, -100], [1, 50]] }
  expect(sampler.sample(logits, sampling, 0, createLogitsProcessing({ tokens: [0], sampling, endTokens: [] }))).toBe(1)
  expect(sampler.score(logits, 1, 3)).toEqual(before)
  expect([...logits]).toEqual([3, 1, 2])
})

test('a draw depends on seed and position alone', () => {
  const logits = Float32Array.from({ length: 50 }, (_, token) => Math.sin(token))
  const draw = (seed: number, positions: readonly number[]): number[] => {
    const sampler = createSampler(50)
    return positions.map((position) => sampler.sample(logits, { temperature: 1, topP: 0.95, seed }, position))
  }
  const positions = Array.from({ length: 40 }, (_, index) => index)
  expect(draw(1, positions.toReversed()).toReversed()).toEqual(draw(1, positions))
  expect(draw(2, positions)).not.toEqual(draw(1, positions))
})

describe('scores', () => {
  test('are logarithms of the softmax, with the most probable tokens in order', () => {
    fc.assert(
      fc.property(row, fc.nat(20), fc.nat(), (logits, top, pick) => {
        const token = pick % logits.length
        const score = createSampler(logits.length).score(logits, token, top)
        const highest = Math.max(...logits)
        const logarithm = highest + Math.log(Array.from(logits).reduce((sum, value) => sum + Math.exp(value - highest), 0))
        expect(score.token).toBe(token)
        expect(score.logprob).toBeCloseTo(logits[token]! - logarithm, 9)
        const byLogit = Array.from(logits.keys()).toSorted((a, b) => logits[b]! - logits[a]! || a - b)
        expect(score.top.map((other) => other.token)).toEqual(byLogit.slice(0, top))
        for (const other of score.top) expect(other.logprob).toBeCloseTo(logits[other.token]! - logarithm, 9)
      }),
    )
  })
})

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('a row with %d is refused', (bad) => {
  const logits = Float32Array.of(1, 2, bad, 3)
  const sampler = createSampler(4)
  for (const use of [
    () => sampler.sample(logits, { temperature: 0, topP: 1, seed: 1 }, 0),
    () => sampler.sample(logits, { temperature: 1, topP: 0.9, seed: 1 }, 0),
    () => sampler.score(logits, 0, 3),
  ]) {
    expect(use).toThrow(expect.objectContaining({ name: 'EngineError', failure: 'logits-not-finite' }))
  }
})
