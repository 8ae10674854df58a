import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { uniformGenerator } from '../model/random-numbers.ts'
import type { SequenceRequest } from './engine.ts'
import { createGenerationLoop } from './generation-loop.ts'
import type { GenerationLoop } from './generation-loop.ts'
import { createKeyValueCache } from './key-value-cache.ts'
import { createPrefixStore } from './prefix-store.ts'
import { createSampler } from './sampler.ts'
import { expectSame, greedy, openLoop as openLoopOf, request, runAlone, tokensOf } from './test-support/open-loop.ts'
import type { OpenLoop, Result } from './test-support/open-loop.ts'
import { graphKinds, makeRandomModel } from './test-support/random-model.ts'
import type { RandomModel } from './test-support/random-model.ts'

process.env.ORT_DISABLE_TELEMETRY = '1'

describe.each(Object.keys(graphKinds))('generation with a graph that works %s', (graph) => {
  let model: RandomModel
  const opened: OpenLoop[] = []

  beforeAll(async () => {
    model = await makeRandomModel(graphKinds[graph]!)
  })
  afterAll(async () => {
    for (const { close } of opened) await close()
    await model.remove()
  })

  async function openLoop(slots: number, ofModel = model): Promise<OpenLoop> {
    const loop = await openLoopOf(ofModel, { slots })
    opened.push(loop)
    return loop
  }
  const alone = (sequence: SequenceRequest, ofModel = model): Promise<Result> => runAlone(ofModel, sequence)

  const logSoftmax = (logits: Float64Array): number[] => {
    const highest = Math.max(...logits)
    const logarithm = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0))
    return Array.from(logits, (logit) => logit - logarithm)
  }

  test('greedy tokens and their scores are those of a plain forward pass', async () => {
    const prompt = Array.from('A question of numbers', (character) => character.charCodeAt(0))
    const result = await alone(request({ tokens: prompt, maxTokens: 12, logprobs: 3 }))
    const tokens = [...prompt]
    for (const step of result.steps) {
      if (step.type !== 'token') continue
      const logprobs = logSoftmax(model.reference(tokens).at(-1)!)
      const order = Array.from(logprobs.keys()).toSorted((a, b) => logprobs[b]! - logprobs[a]!)
      expect(step.token).toBe(order[0])
      expect(Math.abs(step.score!.logprob! - logprobs[step.token]!)).toBeLessThan(1e-4)
      expect(step.score!.top.map(({ token }) => token)).toEqual(order.slice(0, 3))
      tokens.push(step.token)
    }
    expect(tokens).toHaveLength(prompt.length + 12)
    expect(result.steps.at(-1)).toEqual({ type: 'end', reason: 'length' })
  })

  test('the prompt is scored chunk by chunk, with and without a completion', async () => {
    const prompt = Array.from('Scores of a prompt', (character) => character.charCodeAt(0))
    const expected = model.reference(prompt).map(logSoftmax)
    for (const maxTokens of [0, 1]) {
      const { steps } = await alone(request({ tokens: prompt, maxTokens, logprobs: 1, scorePrompt: true }))
      const [first] = steps
      expect(steps.map(({ type }) => type)).toEqual(maxTokens === 0 ? ['prompt-scores', 'end'] : ['prompt-scores', 'token', 'end'])
      if (first?.type !== 'prompt-scores') throw new Error('No scores.')
      expect(first.scores[0]).toEqual({ token: prompt[0], logprob: null, top: [] })
      expect(first.scores.map(({ token }) => token)).toEqual(prompt)
      first.scores.slice(1).forEach(({ token, logprob, top }, index) => {
        expect(Math.abs(logprob! - expected[index]![token]!)).toBeLessThan(1e-4)
        expect(Math.abs(top[0]!.logprob - Math.max(...expected[index]!))).toBeLessThan(1e-4)
      })
    }
  })

  test('nothing to sample and nothing to score takes no forward pass', async () => {
    const { loop, finish, resultOf, passes } = await openLoop(1)
    loop.start(1, request({ tokens: [1, 2, 3], maxTokens: 0, logprobs: null }))
    loop.start(2, request({ tokens: [1], maxTokens: 0, scorePrompt: true }))
    await finish()
    expect(resultOf(1).steps).toEqual([{ type: 'end', reason: 'length' }])
    expect(resultOf(2).steps).toEqual([{ type: 'prompt-scores', scores: [{ token: 1, logprob: null, top: [] }] }, { type: 'end', reason: 'length' }])
    expect(passes).toEqual([])
  })

  test('an end token ends the sequence and is reported; without scores there are none', async () => {
    const prompt = [10, 20, 30]
    const free = tokensOf(await alone(request({ tokens: prompt, maxTokens: 8 })))
    const endToken = free[4]!
    const { steps } = await alone(request({ tokens: prompt, endTokens: [endToken], logprobs: null }))
    const until = free.slice(0, free.indexOf(endToken) + 1)
    expect(steps).toEqual([...until.map((token) => ({ type: 'token', token, score: null })), { type: 'end', reason: 'end-token' }])
  })

  test('the context can be used to its end', async () => {
    const { contextLength } = model.manifest
    const prompt = Array.from({ length: 40 }, (_, index) => index)
    const result = await alone(request({ tokens: prompt, maxTokens: contextLength - 40 }))
    expect(result.failure).toBeNull()
    expect(tokensOf(result)).toHaveLength(contextLength - 40)
    const last = [...prompt, ...tokensOf(result).slice(0, -1)]
    expect(tokensOf(result).at(-1)).toBe(model.reference(last).at(-1)!.reduce((best, logit, token, row) => (logit > row[best]! ? token : best), 0))
  })

  test('sequences that come and go at random get what each would get alone', async () => {
    const random = uniformGenerator(5)
    const below = (limit: number): number => Math.floor(random() * limit)
    const { loop, turn, finish, resultOf, passes } = await openLoop(3)
    const requests = Array.from({ length: 24 }, (_, id) =>
      request({
        tokens: Array.from({ length: 1 + below(20) }, () => below(190)),
        maxTokens: 1 + below(12),
        sampling: id % 3 === 0 ? greedy : { temperature: 0.9, topP: id % 3 === 1 ? 1 : 0.9, seed: id },
        scorePrompt: id % 4 === 0,
      }),
    )
    const cancelled = new Set([4, 5, 11, 17])
    for (const [id, sequence] of requests.entries()) {
      loop.start(id, sequence)
      for (let turns = below(4); turns > 0; turns--) await turn()
      if (cancelled.has(id - 2)) loop.cancel(id - 2)
    }
    await finish()
    // The test would show nothing if they had run one after the other.
    expect(passes.filter(({ batch }) => batch === 3).length).toBeGreaterThan(10)
    expect(passes.every(({ batch, tokens }) => batch <= 3 && tokens <= 5)).toBe(true)
    for (const [id, sequence] of requests.entries()) {
      if (!cancelled.has(id)) expectSame(resultOf(id), await alone(sequence))
    }
  })

  test('a running sequence gets a token in every turn while a long prompt is computed', async () => {
    const { loop, turn, resultOf } = await openLoop(2)
    loop.start(1, request({ tokens: [1], maxTokens: 30 }))
    await turn()
    const before = tokensOf(resultOf(1)).length
    loop.start(2, request({ tokens: Array.from({ length: 20 }, (_, index) => index), maxTokens: 1 }))
    for (let count = 1; count <= 3; count++) {
      await turn()
      expect(tokensOf(resultOf(1))).toHaveLength(before + count)
      expect(resultOf(2).steps).toEqual([])
    }
    await turn()
    expect(resultOf(2).steps.at(-1)).toEqual({ type: 'end', reason: 'length' })
  })

  test('a cancelled sequence frees its slot at once, waiting, in its prompt or decoding', async () => {
    const { loop, turn, finish, resultOf } = await openLoop(1)
    const long = request({ tokens: Array.from({ length: 20 }, (_, index) => index), maxTokens: 40 })
    loop.start(1, long)
    loop.start(2, long)
    loop.start(3, request({ tokens: [5, 6] }))
    await turn()
    loop.cancel(1)
    loop.cancel(2)
    await turn()
    expect(tokensOf(resultOf(3)).length).toBeGreaterThan(0)
    loop.cancel(3)
    loop.cancel(3)
    loop.cancel(99)
    expect(loop.idle).toBe(true)
    loop.start(4, request({ tokens: [5, 6] }))
    await finish()
    expectSame(resultOf(4), await alone(request({ tokens: [5, 6] })))
    expect(resultOf(1).steps).toEqual([])
  })

  test('logits that are not finite end that sequence alone, and its slot is clean for the next', async () => {
    const poison = 200
    const spoilt = await makeRandomModel({ ...graphKinds[graph]!, poison })
    const { loop, turn, finish, resultOf } = await openLoop(3, spoilt)
    const good = [request({ tokens: [1, 2, 3], maxTokens: 20 }), request({ tokens: [4, 5], maxTokens: 25 }), request({ tokens: [9, 8, 7, 6], maxTokens: 20 })]
    loop.start(0, good[0]!)
    await turn()
    loop.start(10, request({ tokens: [1, poison, 2] }))
    loop.start(11, request({ tokens: [1, 2, 3, 4, 5, 6, 7, 8, poison], scorePrompt: true }))
    loop.start(1, good[1]!)
    // Cancelled in the middle of its prompt, before anyone could see what it computed.
    loop.start(12, request({ tokens: [poison, 1, 2, 3, 4, 5, 6, 7, 8, 9] }))
    loop.start(2, good[2]!)
    for (let count = 0; count < 5; count++) await turn()
    loop.cancel(12)
    await finish()
    for (const id of [10, 11]) expect(resultOf(id)).toEqual({ steps: [], failure: { failure: 'logits-not-finite', message: expect.any(String) } })
    for (const [id, sequence] of good.entries()) expectSame(resultOf(id), await alone(sequence, spoilt))
    await spoilt.remove()
  })

  test('a slot is clean for the next also when it becomes NaN in the very step in which others end', async () => {
    const { loop, turn, finish, resultOf, spoil } = await openLoop(3)
    const ending = request({ tokens: [1], maxTokens: 6 })
    const long = request({ tokens: [2, 3, 4], maxTokens: 40 })
    const next = request({ tokens: [6], maxTokens: 20 })
    loop.start(0, ending)
    await turn()
    loop.start(1, long)
    await turn()
    loop.start(2, request({ tokens: [5, 6, 7, 8], maxTokens: 40 }))
    await turn()
    while (tokensOf(resultOf(0)).length < 5) await turn()
    spoil(2)
    await turn()
    expect(resultOf(0).steps.at(-1)?.type).toBe('end')
    expect(resultOf(2).failure?.failure).toBe('logits-not-finite')
    for (const id of [3, 4]) loop.start(id, next)
    await finish()
    expectSame(resultOf(1), await alone(long))
    for (const id of [3, 4]) expectSame(resultOf(id), await alone(next))
  })

  test('a forward pass that fails ends the sequences in it, and others run after it', async () => {
    const { loop, turn, finish, resultOf, fail } = await openLoop(2)
    loop.start(1, request({ tokens: [1, 2] }))
    loop.start(2, request({ tokens: [3] }))
    loop.start(3, request({ tokens: [4, 5, 6] }))
    await turn()
    await turn()
    fail(true)
    await turn()
    fail(false)
    await finish()
    for (const id of [1, 2]) expect(resultOf(id).failure).toEqual({ failure: 'forward-pass-failed', message: 'out of order' })
    expectSame(resultOf(3), await alone(request({ tokens: [4, 5, 6] })))
  })
})

test('an idle loop does nothing', async () => {
  const cache = createKeyValueCache({ layers: 1, heads: 1, headSize: 1, contextLength: 1, kvType: 'float32', kvInPlace: true }, 1)
  const loop: GenerationLoop = createGenerationLoop({
    forwardPass: { kind: 'native', run: () => Promise.reject(new Error('There is nothing to run.')), close: async () => undefined },
    cache,
    prefixes: createPrefixStore(cache, 'sha256:00'),
    sampler: createSampler(1),
    vocabularySize: 1,
    chunkTokens: 1,
  })
  expect(loop.idle).toBe(true)
  expect(await loop.turn()).toEqual([])
})
