import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { blockTokens } from './key-value-cache.ts'
import { expectSame, openLoop as openLoopOf, request as anyRequest, runAlone } from './test-support/open-loop.ts'
import type { OpenLoop, OpenLoopOptions } from './test-support/open-loop.ts'
import { graphKinds, makeRandomModel } from './test-support/random-model.ts'
import type { RandomModel } from './test-support/random-model.ts'

process.env.ORT_DISABLE_TELEMETRY = '1'

const poison = 200
/** Ends before the model would have to read the token that it may well sample. */
const request = (changes: Parameters<typeof anyRequest>[0]) => anyRequest({ endTokens: [poison], ...changes })
/** Tokens below 190, different for each kind. */
const text = (length: number, kind: number): number[] => Array.from({ length }, (_, index) => (index * 53 + kind * 17 + 7) % 190)
const header = text(2 * blockTokens + 6, 0)

describe.each(Object.keys(graphKinds))('prompts that share a prefix, with a graph that works %s', (graph) => {
  let model: RandomModel
  const opened: OpenLoop[] = []

  beforeAll(async () => {
    model = await makeRandomModel({ ...graphKinds[graph]!, contextLength: 160, poison })
  })
  afterAll(async () => {
    for (const { close } of opened) await close()
    await model.remove()
  })

  async function openLoop(options: Partial<OpenLoopOptions> = {}): Promise<OpenLoop> {
    const loop = await openLoopOf(model, { slots: 2, chunkTokens: 40, blocks: 8, ...options })
    opened.push(loop)
    return loop
  }

  test('the shared blocks are not computed again, and the answer is the one without reuse', async () => {
    const { loop, finish, resultOf } = await openLoop()
    const prompts = [[...header, ...text(9, 1)], [...header, ...text(30, 2)], header, header.slice(0, 2 * blockTokens)]
    for (const [id, tokens] of prompts.entries()) {
      loop.start(id, request({ tokens }))
      await finish()
      expectSame(resultOf(id), await runAlone(model, request({ tokens })), 1e-5)
    }
    // Whole blocks only, and of a prompt that ends with a block not the last one.
    expect(loop.statistics.reusedPromptTokens).toBe((2 + 2 + 1) * blockTokens)
    expect(loop.statistics.computedPromptTokens).toBe(prompts.flat().length - 5 * blockTokens)
  })

  test('a prompt is reused by the one that waits behind it', async () => {
    const { loop, finish, resultOf } = await openLoop({ slots: 4 })
    const requests = [1, 2, 3, 4, 5, 6].map((kind) => request({ tokens: [...header, ...text(kind, kind)], sampling: { temperature: 1, topP: 1, seed: kind } }))
    for (const [id, sequence] of requests.entries()) loop.start(id, sequence)
    await finish()
    expect(loop.statistics.reusedPromptTokens).toBe(5 * 2 * blockTokens)
    for (const [id, sequence] of requests.entries()) expectSame(resultOf(id), await runAlone(model, sequence), 1e-5)
  })

  test('scopes share with themselves alone', async () => {
    const { loop, finish } = await openLoop()
    for (const [id, isolation] of ['a', 'b', undefined, 'a'].entries()) {
      loop.start(id, request({ tokens: header, ...(isolation !== undefined && { isolation }) }))
      await finish()
      expect(loop.statistics.reusedPromptTokens).toBe(id < 3 ? 0 : 2 * blockTokens)
    }
  })

  test('a prompt that is scored is computed whole, and later prompts share it', async () => {
    const { loop, finish, resultOf } = await openLoop()
    const scored = request({ tokens: header, scorePrompt: true, maxTokens: 0 })
    for (const id of [1, 2]) loop.start(id, scored)
    await finish()
    expect(loop.statistics).toEqual({ computedPromptTokens: 2 * (header.length - 1), reusedPromptTokens: 0 })
    expectSame(resultOf(2), await runAlone(model, scored))
    loop.start(3, request({ tokens: header }))
    await finish()
    expect(loop.statistics.reusedPromptTokens).toBe(2 * blockTokens)
    expectSame(resultOf(3), await runAlone(model, request({ tokens: header })), 1e-5)
  })

  test('a prompt that yields no numbers leaves nothing behind, not even what it shared', async () => {
    const { loop, finish, resultOf, prefixes } = await openLoop()
    loop.start(1, request({ tokens: header }))
    await finish()
    expect(prefixes.size).toBe(2)
    const spoilt = [...header, poison, ...text(2 * blockTokens, 3)]
    loop.start(2, request({ tokens: spoilt }))
    await finish()
    expect(resultOf(2).failure?.failure).toBe('logits-not-finite')
    expect(prefixes.size).toBe(0)
    loop.start(3, request({ tokens: header }))
    await finish()
    expectSame(resultOf(3), await runAlone(model, request({ tokens: header })))
  })

  test('a prompt that is cancelled or fails in the middle leaves nothing of its own', async () => {
    const { loop, turn, finish, resultOf, prefixes, fail } = await openLoop()
    loop.start(1, request({ tokens: header }))
    await finish()
    // Its first chunk behind the shared blocks is computed; nobody has seen yet that it makes no sense.
    const spoilt = [...header, poison, ...text(80, 3)]
    loop.start(2, request({ tokens: spoilt }))
    await turn()
    expect(loop.statistics.reusedPromptTokens).toBe(2 * blockTokens)
    expect(prefixes.size).toBe(3)
    loop.cancel(2)
    expect(prefixes.size).toBe(2)
    loop.start(3, request({ tokens: [...text(50, 5), ...text(50, 6)] }))
    await turn()
    expect(prefixes.size).toBe(3)
    fail(true)
    await turn()
    fail(false)
    expect(resultOf(3).failure?.failure).toBe('forward-pass-failed')
    expect(prefixes.size).toBe(2)
    const after = request({ tokens: [...header, ...text(20, 7)] })
    loop.start(4, after)
    await finish()
    expectSame(resultOf(4), await runAlone(model, after), 1e-5)
  })
})

describe('how much of the prompts one turn computes', () => {
  let model: RandomModel
  beforeAll(async () => {
    model = await makeRandomModel({ contextLength: 160 })
  })
  afterAll(() => model.remove())

  /** Prompt tokens and forward passes for prompts of one turn; its decode step is the last pass of all. */
  async function turnOf({ turn, passes }: OpenLoop): Promise<number[]> {
    const before = passes.length
    await turn()
    return passes.slice(before, -1).map(({ tokens }) => tokens)
  }

  test('several short prompts, or a part of a long one', async () => {
    const open = await openLoopOf(model, { slots: 12, chunkTokens: 64 })
    const lengths = [20, 20, 20, 20, 100, 3, 3, 3, 3, 3]
    for (const [id, length] of lengths.entries()) open.loop.start(id, request({ tokens: text(length, id), maxTokens: 20 }))
    expect(await turnOf(open)).toEqual([20, 20, 20, 4])
    expect(await turnOf(open)).toEqual([16, 48])
    // Each of these passes reads all weights for three tokens.
    expect(await turnOf(open)).toEqual([52, 3])
    expect(await turnOf(open)).toEqual([3, 3, 3, 3])
    await open.finish()
    for (const [id, length] of lengths.entries()) {
      expectSame(open.resultOf(id), await runAlone(model, request({ tokens: text(length, id), maxTokens: 20 })))
    }
    await open.close()
  })

  test('prefixes that are restored count too', async () => {
    const open = await openLoopOf(model, { slots: 12, chunkTokens: 64, blocks: 4 })
    const shared = text(4 * blockTokens, 1)
    open.loop.start(0, request({ tokens: [...shared, 1] }))
    await open.finish()
    for (let id = 1; id <= 10; id++) open.loop.start(id, request({ tokens: [...shared, id], maxTokens: 20 }))
    // 128 positions cost 8 and one pass 16: of 64 that is two and the restoring of a third, which still gets its pass.
    expect(await turnOf(open)).toEqual([1, 1, 1])
    await open.close()
  })
})
