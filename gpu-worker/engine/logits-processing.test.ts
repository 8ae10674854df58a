import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Sampling } from '../../shared/job.ts'
import { bansEverything, createLogitsProcessing } from './logits-processing.ts'
import { createSampler } from './sampler.ts'

interface Case {
  readonly logits: Float32Array
  readonly request: { readonly tokens: number[]; readonly sampling: Sampling; readonly endTokens: number[] }
  readonly generated: number[]
}

/** Each logit by the formulas, one after another, everything counted anew. */
function byDefinition({ logits, request, generated }: Case): number[] {
  const { minTokens = 0, logitBias = [], repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = request.sampling
  return Array.from(logits, (logit, token) => {
    let value = logit
    if (generated.length < minTokens && request.endTokens.includes(token)) value = -Infinity
    const bias = logitBias.find(([biased]) => biased === token)?.[1] ?? 0
    value += bias === -100 ? -Infinity : bias
    if ([...request.tokens, ...generated].includes(token)) value = value < 0 ? value * repetitionPenalty : value / repetitionPenalty
    const count = generated.filter((other) => other === token).length
    return value - count * frequencyPenalty - (count > 0 ? presencePenalty : 0)
  })
}

const anyCase: fc.Arbitrary<Case> = fc.integer({ min: 1, max: 40 }).chain((size) => {
  const tokens = (maxLength: number): fc.Arbitrary<number[]> => fc.array(fc.nat(size - 1), { maxLength })
  const penalty = fc.constantFrom(-2, -0.3, 0, 0.7, 2)
  const sampling: fc.Arbitrary<Partial<Sampling>> = fc.record(
    {
      minTokens: fc.nat(10),
      logitBias: fc.uniqueArray(fc.tuple(fc.nat(size - 1), fc.constantFrom(-100, -99.5, -1, 0, 0.25, 100)), { selector: ([token]) => token }),
      repetitionPenalty: fc.constantFrom(0.1, 0.8, 1, 1.3, 10),
      frequencyPenalty: penalty,
      presencePenalty: penalty,
    },
    { requiredKeys: [] },
  )
  return fc.record({
    logits: fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: size, maxLength: size }).map((values) => Float32Array.from(values)),
    request: fc.record({
      tokens: tokens(20),
      sampling: sampling.map((parameters): Sampling => ({ temperature: 0, topP: 1, seed: 0, ...parameters })),
      endTokens: tokens(2),
    }),
    generated: tokens(20),
  })
})

test('every logit is as the formulas say, for any request and history', () => {
  fc.assert(
    fc.property(anyCase, (given) => {
      const processing = createLogitsProcessing(given.request)
      for (const token of given.generated) processing?.push(token)
      const logits = Float64Array.from(given.logits)
      processing?.apply(logits)
      // A zero has no sign here.
      expect(Array.from(logits, (value) => value + 0)).toEqual(byDefinition(given).map((value) => value + 0))
    }),
    { numRuns: 1000 },
  )
})

test('a generation that is resumed goes on as one that was never interrupted', () => {
  fc.assert(
    fc.property(anyCase, fc.nat(20), (given, at) => {
      const run = (resumedAt: number): number[] => {
        const sampler = createSampler(given.logits.length)
        let processing = createLogitsProcessing(given.request)
        const chosen: number[] = []
        for (let step = 0; step < 20; step++) {
          if (step === resumedAt) {
            processing = createLogitsProcessing(given.request)
            for (const token of chosen) processing?.push(token)
          }
          const token = sampler.sample(given.logits, { ...given.request.sampling, temperature: 1 }, step, processing)
          processing?.push(token)
          chosen.push(token)
        }
        return chosen
      }
      fc.pre(!bansEverything(given.request, given.logits.length))
      expect(run(at)).toEqual(run(-1))
    }),
  )
})

describe('what it does to a greedy text', () => {
  const logits = Float32Array.of(5, 4.5, 4, -1)

  function generate(parameters: Partial<Sampling>, { tokens = [3], endTokens = [] }: { tokens?: number[]; endTokens?: number[] } = {}): number[] {
    const sampling: Sampling = { temperature: 0, topP: 1, seed: 0, ...parameters }
    const processing = createLogitsProcessing({ tokens, sampling, endTokens })
    const sampler = createSampler(logits.length)
    return Array.from({ length: 6 }, (_, position) => {
      const token = sampler.sample(logits, sampling, position, processing)
      processing?.push(token)
      return token
    })
  }

  test('nothing, when nothing is asked for', () => {
    expect(createLogitsProcessing({ tokens: [1], sampling: { temperature: 1, topP: 0.5, seed: 1, topK: 3, minP: 0.1 }, endTokens: [0] })).toBeNull()
    expect(generate({})).toEqual([0, 0, 0, 0, 0, 0])
  })

  test('a frequency penalty grows with each use, a presence penalty does not', () => {
    expect(generate({ frequencyPenalty: 0.3 })).toEqual([0, 0, 1, 0, 1, 0])
    expect(generate({ presencePenalty: 0.75 })).toEqual([0, 1, 0, 0, 0, 0])
  })

  test('a repetition penalty looks at the prompt too, the other two do not', () => {
    expect(generate({ repetitionPenalty: 1.2 }, { tokens: [0, 1] })[0]).toBe(0)
    expect(generate({ repetitionPenalty: 1.3 }, { tokens: [0, 1] })[0]).toBe(2)
    expect(generate({ presencePenalty: 2, frequencyPenalty: 2 }, { tokens: [0, 0, 0] })[0]).toBe(0)
  })

  test('a bias of -100 bans, and one of 100 leaves nothing else', () => {
    expect(generate({ logitBias: [[0, -100], [1, -100], [2, -100]] })).toEqual([3, 3, 3, 3, 3, 3])
    expect(generate({ logitBias: [[3, 100]], temperature: 2 })).toEqual([3, 3, 3, 3, 3, 3])
    // No other parameter makes up for a ban.
    expect(generate({ logitBias: [[0, -100]], frequencyPenalty: -2, repetitionPenalty: 0.1 })).not.toContain(0)
  })

  test('the end is put off until there are enough tokens', () => {
    expect(generate({ minTokens: 2 }, { endTokens: [0] })).toEqual([1, 1, 0, 0, 0, 0])
  })
})

test('a ban bans where logits are larger than any bias', () => {
  const sampling: Sampling = { temperature: 0, topP: 1, seed: 0, logitBias: [[0, -100]] }
  const processing = createLogitsProcessing({ tokens: [0], sampling, endTokens: [] })
  expect(createSampler(2).sample(Float32Array.of(1e30, -1e30), sampling, 0, processing)).toBe(1)
})

test('a request that bans every token is known', () => {
  const bans = (tokens: number[], endTokens: number[], minTokens: number): boolean =>
    bansEverything({ sampling: { temperature: 0, topP: 1, seed: 0, minTokens, logitBias: tokens.map((token) => [token, -100]) }, endTokens }, 3)
  expect(bans([0, 1], [], 0)).toBe(false)
  expect(bans([0, 1, 2], [], 0)).toBe(true)
  expect(bans([0, 1], [2], 1)).toBe(true)
  expect(bans([0, 1], [2], 0)).toBe(false)
})
