import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { graphFile } from '../model/manifest.ts'
import { createEngine } from './create-engine.ts'
import type { Engine, SequenceRequest, SequenceStep } from './engine.ts'
import { connectEngine } from './engine-client.ts'
import type { EngineThreadOptions } from './engine-messages.ts'
import { bytesPerToken } from './key-value-cache.ts'
import { physicalCores } from './physical-cores.ts'
import { makeRandomModel } from './test-support/random-model.ts'
import type { RandomModel } from './test-support/random-model.ts'

let model: RandomModel
beforeAll(async () => {
  model = await makeRandomModel({ contextLength: 2048 })
})
afterAll(() => model.remove())

const request = (changes: Partial<SequenceRequest> = {}): SequenceRequest => ({
  tokens: [1, 2, 3],
  maxTokens: 10,
  sampling: { temperature: 0, topP: 1, seed: 1 },
  endTokens: [],
  logprobs: null,
  scorePrompt: false,
  ...changes,
})
/** Runs for longer than any test needs. */
const endless = request({ maxTokens: 2000 })
const never = new AbortController().signal

async function collect(engine: Engine, sequence: SequenceRequest, signal = never): Promise<SequenceStep[]> {
  const steps: SequenceStep[] = []
  for await (const batch of engine.generate(sequence, signal)) steps.push(...batch)
  return steps
}

const tokensOf = (steps: readonly SequenceStep[]): number[] => steps.flatMap((step) => (step.type === 'token' ? [step.token] : []))

describe('an engine', () => {
  let engine: Engine
  beforeAll(async () => {
    engine = await createEngine({ modelFolder: model.folder, slots: 2, threads: 1 })
  })
  afterAll(() => engine.close())

  test('describes itself', () => {
    expect(engine.description).toEqual({
      modelId: 'test/random',
      weightsDigest: model.manifest.weightsDigest,
      precision: 'fp32',
      contextLength: 2048,
      vocabularySize: 257,
      endTokens: [256],
      slots: 2,
      device: 'cpu',
    })
  })

  test('two hundred sequences at once all end with the tokens that each gets alone', async () => {
    const requests = Array.from({ length: 200 }, (_, index) =>
      request({ tokens: [index, (3 * index) % 250], maxTokens: 1 + (index % 5), sampling: { temperature: 1, topP: 0.95, seed: index } }),
    )
    const all = await Promise.all(requests.map((sequence) => collect(engine, sequence)))
    for (const [index, steps] of all.entries()) {
      expect(tokensOf(steps)).toHaveLength(1 + (index % 5))
      expect(steps.at(-1)).toEqual({ type: 'end', reason: 'length' })
    }
    for (const index of [0, 99, 199]) expect(await collect(engine, requests[index]!)).toEqual(all[index])
  })

  test('an aborted sequence ends without an end step and frees its slot', async () => {
    const controllers = [new AbortController(), new AbortController()]
    const cutOff = await Promise.all(
      controllers.map(async (controller) => {
        const steps: SequenceStep[] = []
        for await (const batch of engine.generate(endless, controller.signal)) {
          steps.push(...batch)
          if (steps.length > 3) controller.abort()
        }
        return steps
      }),
    )
    for (const steps of cutOff) {
      expect(steps.length).toBeGreaterThan(3)
      expect(steps.every(({ type }) => type === 'token')).toBe(true)
    }
    expect(tokensOf(await collect(engine, request()))).toHaveLength(10)
  })

  test('a sequence that waits can be aborted', async () => {
    const running = [new AbortController(), new AbortController()]
    const ended = running.map(({ signal }) => collect(engine, endless, signal))
    const waiting = new AbortController()
    const waited = collect(engine, request(), waiting.signal)
    waiting.abort()
    expect(await waited).toEqual([])
    expect(await collect(engine, request(), AbortSignal.abort())).toEqual([])
    for (const controller of running) controller.abort()
    await Promise.all(ended)
  })

  test('leaving the loop frees the slot', async () => {
    for (let count = 0; count < 4; count++) {
      for await (const steps of engine.generate(endless, never)) {
        expect(steps.length).toBeGreaterThan(0)
        break
      }
    }
    expect(tokensOf(await collect(engine, request()))).toHaveLength(10)
  })

  test.each([
    ['no token', { tokens: [] }],
    ['a token that does not exist', { tokens: [257] }],
    ['a token that is no integer', { tokens: [1.5] }],
    ['more tokens than the context holds', { maxTokens: 2046 }],
    ['a count that is none', { maxTokens: Number.NaN }],
    ['scores of the prompt without logprobs', { scorePrompt: true }],
  ] as const)('%s is refused before it can disturb others', async (_what, changes) => {
    await expect(collect(engine, request(changes))).rejects.toThrow(RangeError)
  })
})

/** One sequence that has begun to yield and one that waits behind it; resolves with what becomes of them. */
async function occupy(engine: Engine): Promise<Promise<PromiseSettledResult<unknown>[]>[]> {
  const first = engine.generate(endless, never)[Symbol.asyncIterator]()
  expect((await first.next()).done).toBe(false)
  const rest = async (): Promise<void> => {
    while (!(await first.next()).done);
  }
  // In an array, because a promise of a promise would be awaited with it.
  return [Promise.allSettled([rest(), collect(engine, endless)])]
}

const rejectedWith = (failure: string) => ({ status: 'rejected', reason: expect.objectContaining({ name: 'EngineError', failure }) })

test('closing ends what runs and what waits, and can be done twice', async () => {
  const engine = await createEngine({ modelFolder: model.folder, slots: 1, threads: 1 })
  const [outcomes] = await occupy(engine)
  await Promise.all([engine.close(), engine.close()])
  expect(await outcomes).toEqual([rejectedWith('closed'), rejectedWith('closed')])
  await expect(collect(engine, request())).rejects.toMatchObject({ failure: 'closed' })
  await engine.close()
})

test('when the thread dies, everything that runs fails and nothing is taken any more', async () => {
  const { manifest, folder } = model
  const workerData: EngineThreadOptions = { modelFolder: folder, manifest, memory: { slots: 1, slotLength: 2048, blocks: 0 }, chunkTokens: 128, threads: 1 }
  const thread = new Worker(new URL('./engine-thread.ts', import.meta.url), { workerData })
  const { modelId, weightsDigest, precision, contextLength, vocabularySize, endTokens } = manifest
  const engine = await connectEngine(thread, { modelId, weightsDigest, precision, contextLength, vocabularySize, endTokens, slots: 1, device: 'cpu' })
  const [outcomes] = await occupy(engine)
  await thread.terminate()
  expect(await outcomes).toEqual([rejectedWith('thread-died'), rejectedWith('thread-died')])
  await expect(collect(engine, request())).rejects.toMatchObject({ failure: 'thread-died' })
  await engine.close()
})

test('where memory is short, slots are fewer and then shorter, and a request that can never fit is told so', async () => {
  const { slot } = bytesPerToken(model.manifest)
  const two = await createEngine({ modelFolder: model.folder, keyValueBudgetBytes: 2 * 2048 * slot, prefixReuse: false, threads: 1 })
  expect(two.description).toMatchObject({ slots: 2, contextLength: 2048 })
  await two.close()
  const short = await createEngine({ modelFolder: model.folder, keyValueBudgetBytes: 300 * slot, threads: 1 })
  expect(short.description).toMatchObject({ slots: 1, contextLength: 300 })
  await expect(collect(short, request({ maxTokens: 298 }))).rejects.toThrow(
    'A sequence has 300 tokens at most, and this one can never fit: 3 in its prompt and 298 to sample.',
  )
  const ample = await createEngine({ modelFolder: model.folder, slots: 2, threads: 1 })
  const fits = request({ maxTokens: 297 })
  expect(await collect(short, fits)).toEqual(await collect(ample, fits))
  await Promise.all([short.close(), ample.close()])
})

test('the engine counts prompt tokens that it computed and reused', async () => {
  const engine = await createEngine({ modelFolder: model.folder, slots: 1, threads: 1 })
  const tokens = Array.from({ length: 100 }, (_, index) => (index * 37) % 250)
  const first = await collect(engine, request({ tokens }))
  expect(engine.statistics).toEqual({ computedPromptTokens: 100, reusedPromptTokens: 0 })
  expect(await collect(engine, request({ tokens }))).toEqual(first)
  expect(engine.statistics).toEqual({ computedPromptTokens: 104, reusedPromptTokens: 96 })
  await engine.close()
})

describe('an engine that can not start says why', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'phigate-broken-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('no compiled model', async () => {
    await expect(createEngine({ modelFolder: folder })).rejects.toMatchObject({ name: 'ModelError', failure: 'not-found' })
  })

  test('a KV cache beyond the budget', async () => {
    const keyValueBudgetBytes = 255 * bytesPerToken(model.manifest).slot
    await expect(createEngine({ modelFolder: model.folder, keyValueBudgetBytes })).rejects.toMatchObject({ failure: 'start-failed' })
  })

  test.each([{ slots: 0 }, { slotLength: 2049 }, { chunkTokens: 0.5 }])('settings that make no sense: %o', async (settings) => {
    await expect(createEngine({ modelFolder: model.folder, ...settings })).rejects.toThrow(RangeError)
  })

  test('a graph that can not be loaded', async () => {
    const damaged = await makeRandomModel()
    // Of the same size, so that only loading it finds out.
    await writeFile(join(damaged.folder, graphFile), Buffer.alloc(damaged.manifest.files[graphFile]!.bytes, 0xff))
    await expect(createEngine({ modelFolder: damaged.folder, threads: 1 })).rejects.toMatchObject({
      failure: 'start-failed',
      message: expect.stringMatching(/protobuf/i),
    })
    await damaged.remove()
  })

  test('a model that computes no numbers', async () => {
    const spoilt = await makeRandomModel({ poison: 256 })
    await expect(createEngine({ modelFolder: spoilt.folder, threads: 1 })).rejects.toMatchObject({
      failure: 'start-failed',
      message: 'The model computes something that is not a number.',
    })
    await spoilt.remove()
  })
})

test('there is at least one core', async () => {
  expect(await physicalCores()).toBeGreaterThanOrEqual(1)
})
