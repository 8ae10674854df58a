import { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { defaultPolicy } from '../safety/policy.ts'
import { createGrantVerifier } from '../shared/grant.ts'
import type { GrantKey } from '../shared/grant.ts'
import type { GenerationRequest, Job, Sampling } from '../shared/job.ts'
import { cancelKey } from '../shared/redis-keys.ts'
import { isTerminal } from '../shared/stream-events.ts'
import type { ScoredToken, StreamEvent } from '../shared/stream-events.ts'
import { createLog } from './log.ts'
import type { Interruption, JobOutcome } from './queue/consumer.ts'
import { createQueueScripts } from './queue/scripts.ts'
import type { QueueScripts } from './queue/scripts.ts'
import { createJobRunner } from './run-job.ts'
import { createGrantKey, grantJob, makeJob, readEvents, textOf, until } from './test-support/jobs.ts'
import { loadScript } from './test-support/scripted-model.ts'
import type { ScriptedModel } from './test-support/scripted-model.ts'

const policy = { ...defaultPolicy, blocklist: ['purple monkey dishwasher'] }
const contextLength = 128
const story = ['It was', ' a dark', ' and stormy', ' night.', ' The rain', ' fell in', ' torrents.']
const scripts = {
  /** Forbidden in mid-sentence. */
  '1': ['First words', ' are fine. ', 'Then comes', ' the purple', ' monkey', ' dishwasher', ' and', ' more of it.'],
  /** Characters cut in half. */
  '2': ['Über', ' den', Uint8Array.of(0x20, 0x57, 0xe2), Uint8Array.of(0x80), Uint8Array.of(0xa6, 0x20), Uint8Array.of(0xf0, 0x9f), Uint8Array.of(0x99, 0x82, 0x2e)],
  /** A stop sequence over three tokens. */
  '3': ['Answer:', ' forty', '-two\nQu', 'est', 'ion: what', ' next?'],
}

let redis: Redis
let queue: QueueScripts
let key: GrantKey
let model: ScriptedModel
let endless: ScriptedModel
let logged: string
let engineLost: number

beforeAll(async () => {
  redis = new Redis(inject('redisUrl'))
  queue = createQueueScripts(redis)
  key = await createGrantKey()
  model = await loadScript('scripted', { script: story, triggers: scripts, contextLength }, 4)
  endless = await loadScript('endless', { script: Array.from({ length: 40 }, (_, index) => `Line ${index}. `), loop: true, contextLength: 8192 }, 2)
})
afterAll(async () => {
  await Promise.all([model, endless].map((loaded) => loaded.close()))
  redis.disconnect()
})
beforeEach(() => {
  logged = ''
  engineLost = 0
})

async function runner(loaded: ScriptedModel): Promise<(job: Job, signal: AbortSignal) => Promise<JobOutcome>> {
  const log: Logger = createLog('trace', { write: (line) => void (logged += line) })
  return createJobRunner({
    ...loaded,
    policy,
    verifyGrant: await createGrantVerifier(key),
    scripts: queue,
    worker: 'worker_test',
    askMs: 50,
    onEngineLost: () => (engineLost += 1),
    log,
  })
}

async function granted(loaded: ScriptedModel, request: Partial<GenerationRequest>, rest: Partial<Job> = {}): Promise<Job> {
  const { modelId, weightsDigest } = loaded.engine.description
  return grantJob(makeJob(modelId, request, rest), key, weightsDigest)
}

async function run(job: Job, loaded = model, signal = new AbortController().signal): Promise<{ outcome: JobOutcome; events: StreamEvent[] }> {
  const runJob = await runner(loaded)
  const outcome = await runJob(job, signal)
  return { outcome, events: await readEvents(redis, job.id) }
}

const prompted = (text: string, request: Partial<GenerationRequest> = {}): Promise<Job> => granted(model, { prompt: { type: 'text', text }, ...request })
const scoresOf = (events: readonly StreamEvent[]): ScoredToken[] => events.flatMap((event) => (event.type === 'delta' ? (event.logprobs ?? []) : []))
const typesOf = (events: readonly StreamEvent[]): string[] => events.map(({ type }) => type)

describe('text', () => {
  test('a job is accepted, generates, reports its usage and ends', async () => {
    const job = await prompted('Tell me a story.', { maxTokens: null })
    const { outcome, events } = await run(job)
    expect(outcome).toBe('ended')
    expect(textOf(events)).toBe(story.join(''))
    expect(events[0]).toEqual({
      type: 'accepted',
      worker: 'worker_test',
      attempt: 1,
      promptTokens: 'Tell me a story.'.length,
      weightsDigest: model.engine.description.weightsDigest,
    })
    expect(events.slice(-2)).toEqual([
      // The end-of-text token shows no text and is not counted.
      { type: 'usage', promptTokens: 16, completionTokens: story.length },
      { type: 'done', finishReason: 'stop' },
    ])
    expect(new Set(typesOf(events.slice(1, -2)))).toEqual(new Set(['delta']))
  })

  test('its key alone shares what was computed for it', async () => {
    const scopes: (string | undefined)[] = []
    const { engine } = model
    const observed: ScriptedModel = {
      ...model,
      engine: {
        ...engine,
        generate(request, signal) {
          scopes.push(request.isolation)
          return engine.generate(request, signal)
        },
      },
    }
    await run(await prompted('Go', { maxTokens: 1 }), observed)
    expect(scopes).toEqual(['key_test'])
  })

  test('it ends after max_tokens', async () => {
    const { events } = await run(await prompted('Go', { maxTokens: 3 }))
    expect(textOf(events)).toBe(story.slice(0, 3).join(''))
    expect(events.slice(-2)).toEqual([{ type: 'usage', promptTokens: 2, completionTokens: 3 }, { type: 'done', finishReason: 'length' }])
  })

  test('without max_tokens it may fill the context', async () => {
    const { events } = await run(await prompted('Go', { maxTokens: null, ignoreEos: true }))
    expect(events.slice(-2)).toEqual([
      { type: 'usage', promptTokens: 2, completionTokens: contextLength - 2 },
      { type: 'done', finishReason: 'length' },
    ])
  })

  test('a stop sequence ends the text before it, however it is cut into tokens', async () => {
    const { events } = await run(await prompted('Say 3', { stop: ['\nQuestion:', 'never'], logprobs: 0 }))
    expect(textOf(events)).toBe('Answer: forty-two')
    expect(events.at(-1)).toEqual({ type: 'done', finishReason: 'stop' })
    // '-two\nQu' reaches into the stop sequence.
    expect(scoresOf(events).map(({ token }) => token)).toEqual(['Answer:', ' forty'])
  })

  test('before min_tokens neither the end of text nor a stop sequence ends it', async () => {
    const sampling = { temperature: 0, topP: 1, seed: 1 }
    const { events } = await run(await prompted('Go', { maxTokens: 12, sampling: { ...sampling, minTokens: 12 } }))
    expect(textOf(events).startsWith(story.join(''))).toBe(true)
    expect(events.slice(-2)).toEqual([{ type: 'usage', promptTokens: 2, completionTokens: 12 }, { type: 'done', finishReason: 'length' }])

    const stop = ['forty', 'Question']
    const { events: answer } = await run(await prompted('Go 3', { stop, sampling: { ...sampling, minTokens: 2 } }))
    expect(textOf(answer)).toBe('Answer: forty-two\n')
    expect(answer.at(-1)).toEqual({ type: 'done', finishReason: 'stop' })
  })

  test('sampling parameters that do not fit the model are refused before anything is computed', async () => {
    const { vocabularySize } = model.engine.description
    const [end = 0] = model.engine.description.endTokens
    const allBut = (kept: number): [number, number][] => Array.from({ length: vocabularySize }, (_, token): [number, number] => [token, -100]).filter(([token]) => token !== kept)
    const cases: readonly [Partial<Sampling>, string, string | null][] = [
      [{ logitBias: allBut(-1) }, 'invalid_parameter', 'logit_bias'],
      [{ logitBias: allBut(end), minTokens: 1 }, 'invalid_parameter', 'logit_bias'],
      [{ logitBias: [[vocabularySize, 1]] }, 'invalid_parameter', `logit_bias.${vocabularySize}`],
      [{ minTokens: contextLength - 1 }, 'context_length_exceeded', 'min_tokens'],
    ]
    for (const [changes, code, param] of cases) {
      const { events } = await run(await prompted('Go', { maxTokens: null, sampling: { temperature: 0, topP: 1, seed: 1, ...changes } }))
      expect(events).toEqual([expect.objectContaining({ type: 'error', code, param })])
    }
    const { events } = await run(await prompted('Go', { sampling: { temperature: 0, topP: 1, seed: 1, logitBias: allBut(end) } }))
    expect(events.slice(-2)).toEqual([{ type: 'usage', promptTokens: 2, completionTokens: 0 }, { type: 'done', finishReason: 'stop' }])
  })

  test('no half character leaves', async () => {
    const { events } = await run(await prompted('Say 2', { logprobs: 0 }))
    expect(textOf(events)).toBe('Über den W… 🙂.')
    expect(events.filter((event) => event.type === 'delta' && event.text.includes('\ufffd'))).toEqual([])
    expect(Buffer.from(scoresOf(events).flatMap(({ bytes }) => bytes)).toString()).toBe('Über den W… 🙂.')
  })

  test('an empty prompt starts from the end-of-text token, which is not echoed', async () => {
    const { events } = await run(await prompted('', { maxTokens: 2, echo: true, logprobs: 0 }))
    expect(textOf(events)).toBe('It was a dark')
    expect(scoresOf(events).map(({ token }) => token)).toEqual(story.slice(0, 2))
    expect(events.at(-2)).toEqual({ type: 'usage', promptTokens: 1, completionTokens: 2 })
  })

  test('many jobs at once, more than slots, keep their texts apart', async () => {
    const jobs = await Promise.all(Array.from({ length: 12 }, (_, index) => prompted(index % 2 === 0 ? 'Go' : 'Say 2')))
    const results = await Promise.all(jobs.map((job) => run(job)))
    expect(results.map(({ events }) => textOf(events))).toEqual(jobs.map((_, index) => (index % 2 === 0 ? story.join('') : 'Über den W… 🙂.')))
  })
})

describe('scores', () => {
  test('each token of the text has its score and the alternatives asked for', async () => {
    const { events } = await run(await prompted('Go', { logprobs: 2 }))
    const scores = scoresOf(events)
    expect(scores.map(({ token }) => token)).toEqual(story)
    for (const { token, logprob, top } of scores) {
      expect(logprob).toBeGreaterThan(-0.01)
      expect(top.map((alternative) => alternative.token)).toContain(token)
      expect(top).toHaveLength(2)
    }
  })

  test('no scores without asking', async () => {
    const { events } = await run(await prompted('Go'))
    expect(events.filter((event) => event.type === 'delta' && event.logprobs !== undefined)).toEqual([])
  })

  test('echo with max_tokens 0 scores the prompt and nothing else', async () => {
    const { events } = await run(await prompted('abcé', { maxTokens: 0, echo: true, logprobs: 1 }))
    expect(textOf(events)).toBe('abcé')
    expect(scoresOf(events).map(({ bytes }) => bytes)).toEqual([[97], [98], [99], [0xc3], [0xa9]])
    expect(scoresOf(events).map(({ logprob }) => logprob === null)).toEqual([true, false, false, false, false])
    expect(events.slice(-2)).toEqual([{ type: 'usage', promptTokens: 5, completionTokens: 0 }, { type: 'done', finishReason: 'length' }])
  })

  test('echo puts the prompt in front of the completion', async () => {
    const plain = await run(await prompted('Go', { maxTokens: 2, echo: true }))
    const scored = await run(await prompted('Go', { maxTokens: 2, echo: true, logprobs: 0 }))
    expect(textOf(plain.events)).toBe('GoIt was a dark')
    expect(textOf(scored.events)).toBe('GoIt was a dark')
    expect(scoresOf(scored.events).map(({ token }) => token)).toEqual(['G', 'o', 'It was', ' a dark'])
  })
})

describe('moderation', () => {
  test('a forbidden phrase in mid-sentence never leaves, and neither do its scores', async () => {
    const { events } = await run(await prompted('Say 1', { logprobs: 0 }))
    expect(textOf(events)).toBe('First words are fine. ')
    expect(scoresOf(events).map(({ token }) => token)).toEqual(['First words', ' are fine. '])
    expect(events.slice(-3)).toEqual([
      { type: 'moderation', action: 'block', categories: ['blocklist'], rules: [expect.any(String)], policyVersion: expect.any(String) },
      { type: 'usage', promptTokens: 5, completionTokens: expect.any(Number) },
      { type: 'done', finishReason: 'content_filter' },
    ])
    expect(JSON.stringify(events)).not.toMatch(/purple|monkey|dishwasher/)
  })

  test('at no moment are there scores of text that has not been released', async () => {
    const { events } = await run(await prompted('Say 2', { logprobs: 0, echo: true }))
    const moments = events.map((_, index) => events.slice(0, index + 1))
    expect(textOf(events)).toBe('Say 2Über den W… 🙂.')
    for (const seen of moments) {
      const scored = Buffer.from(scoresOf(seen).flatMap(({ bytes }) => bytes))
      expect(Buffer.from(textOf(seen)).subarray(0, scored.length)).toEqual(scored)
    }
  })

  test('an echoed prompt passes the same release', async () => {
    const { events } = await run(await prompted('Fine. A purple monkey dishwasher', { echo: true, maxTokens: 0 }))
    expect(events.at(-1)).toEqual({ type: 'done', finishReason: 'content_filter' })
    expect(JSON.stringify(events)).not.toContain('purple')
  })

  test('a prompt of tokens is moderated before the forward pass, because the edge could not read it', async () => {
    const tokens = model.tokenizer.encode('A purple monkey dishwasher, please')
    const { events } = await run(await granted(model, { prompt: { type: 'tokens', tokens: [...tokens] } }))
    expect(events).toEqual([{ type: 'error', code: 'content_filter', message: expect.any(String), param: 'prompt' }])
  })
})

describe('prompts', () => {
  test('tokens are taken as they are', async () => {
    const tokens = [...model.tokenizer.encode('Say 2')]
    const { events } = await run(await granted(model, { prompt: { type: 'tokens', tokens } }))
    expect(textOf(events)).toBe('Über den W… 🙂.')
  })

  test('a token that the model does not have is named', async () => {
    const beyond = model.engine.description.vocabularySize
    const { events } = await run(await granted(model, { prompt: { type: 'tokens', tokens: [1, beyond] } }))
    expect(events).toEqual([{ type: 'error', code: 'invalid_parameter', message: expect.stringContaining(`Token ${beyond} `), param: 'prompt' }])
  })

  test.each([
    ['prompt and max_tokens together', 'x'.repeat(100), 29, 'max_tokens', /128 tokens, but you asked for 129: 100 in the prompt and 29/],
    ['a prompt alone', 'x'.repeat(129), 0, 'prompt', /128 tokens.*129 in the prompt/],
    ['a prompt far beyond it', 'x'.repeat(1_000_000), 1, 'prompt', /128 tokens.*at least \d+ in the prompt/],
    ['a prompt that leaves no room', 'x'.repeat(128), null, 'prompt', /128 tokens.*has 128/],
  ] as const)('too much for the context: %s', async (_name, text, maxTokens, param, message) => {
    const { events } = await run(await prompted(text, { maxTokens }))
    expect(events).toEqual([{ type: 'error', code: 'context_length_exceeded', message: expect.stringMatching(message), param }])
  })

  test('a prompt that fills the context can be scored', async () => {
    const { events } = await run(await prompted('x'.repeat(128), { maxTokens: 0, echo: true, logprobs: 0 }))
    expect(scoresOf(events)).toHaveLength(128)
  })
})

describe('permission', () => {
  test.each([
    ['a grant by another signer', async (job: Job) => grantJob(job, await createGrantKey(), model.engine.description.weightsDigest)],
    ['a grant for other weights', (job: Job) => grantJob(job, key, `sha256:${'0'.repeat(64)}`)],
    ['an expired grant', (job: Job) => grantJob(job, key, model.engine.description.weightsDigest, { exp: 1 })],
    ['an altered prompt', async (job: Job) => ({ ...job, request: { ...job.request, prompt: { type: 'text', text: 'Something else' } as const } })],
    ['the grant of another job', async (job: Job) => ({ ...(await prompted('Go')), grant: job.grant })],
    ['no grant', async (job: Job) => ({ ...job, grant: '' })],
  ])('refused before any forward pass: %s', async (_name, spoil) => {
    const { outcome, events } = await run(await spoil(await prompted('Go')))
    expect(outcome).toBe('ended')
    expect(events).toMatchObject([{ type: 'error', code: 'grant_refused' }])
  })
})

describe('ends that nobody generated', () => {
  const running = async (job: Job) => until(() => readEvents(redis, job.id), (events) => events.some(({ type }) => type === 'delta'))
  const endlessJob = (rest: Partial<Job> = {}): Promise<Job> => granted(endless, { maxTokens: null }, rest)
  const interrupt = (controller: AbortController, reason: Interruption): void => controller.abort(reason)

  test('a job that was cancelled in the queue does not start', async () => {
    const job = await prompted('Go')
    await redis.set(cancelKey(job.id), 'the client went away', 'EX', 60)
    const { events } = await run(job)
    expect(events).toEqual([{ type: 'error', code: 'cancelled', message: expect.stringContaining('the client went away'), param: null }])
  })

  test('a job that is cancelled while it runs stops, and its slot is free', async () => {
    const job = await endlessJob()
    const ended = run(job, endless)
    await running(job)
    await redis.set(cancelKey(job.id), 'the client went away', 'EX', 60)
    const { events } = await ended
    expect(events.slice(-2)).toMatchObject([{ type: 'usage' }, { type: 'error', code: 'cancelled' }])
    expect(events.filter(({ type }) => isTerminal(type))).toHaveLength(1)
    const next = await granted(endless, { maxTokens: 3 })
    expect(textOf((await run(next, endless)).events)).toBe('Line 0. Line 1. Line 2. ')
  })

  test('a job that waits for a slot can be cancelled', async () => {
    const busy = await Promise.all([endlessJob(), endlessJob()])
    const stop = new AbortController()
    const busyRuns = busy.map((job) => run(job, endless, stop.signal))
    await Promise.all(busy.map(running))
    const waiting = await endlessJob()
    const waitingRun = run(waiting, endless)
    await until(() => readEvents(redis, waiting.id), (events) => events.length > 0)
    await redis.set(cancelKey(waiting.id), 'changed my mind', 'EX', 60)
    const { events } = await waitingRun
    expect(typesOf(events)).toEqual(['accepted', 'usage', 'error'])
    interrupt(stop, 'lease-lost')
    await Promise.all(busyRuns)
  })

  test('a deadline that has passed', async () => {
    const { events } = await run(await granted(model, {}, { deadline: Date.now() - 1 }))
    expect(events).toMatchObject([{ type: 'error', code: 'deadline_exceeded' }])
  })

  test('a deadline that passes while the job runs', async () => {
    const { events } = await run(await endlessJob({ deadline: Date.now() + 300 }), endless)
    expect(typesOf(events).slice(-2)).toEqual(['usage', 'error'])
    expect(events.at(-1)).toMatchObject({ code: 'deadline_exceeded' })
  })

  test('a worker that stops tells the client when text was sent', async () => {
    const job = await endlessJob()
    const stop = new AbortController()
    const ended = run(job, endless, stop.signal)
    await running(job)
    interrupt(stop, 'worker-stopping')
    const { outcome, events } = await ended
    expect(outcome).toBe('ended')
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'worker_lost' })
  })

  test('a worker that stops leaves a job of which nothing was sent to another worker', async () => {
    const job = await prompted('Go')
    const stop = new AbortController()
    interrupt(stop, 'worker-stopping')
    expect((await run(job, model, stop.signal)).outcome).toBe('left')
    const { outcome, events } = await run(job)
    expect(outcome).toBe('ended')
    expect(textOf(events)).toBe(story.join(''))
    expect(events.filter(({ type }) => isTerminal(type))).toHaveLength(1)
    expect(events.find(({ type }) => type === 'accepted')).toMatchObject({ attempt: 2 })
  })

  test('a worker that another one took the job from falls silent', async () => {
    const job = await endlessJob()
    const ended = run(job, endless)
    await running(job)
    await queue.startAttempt(job.id, 60)
    const { outcome, events } = await ended
    expect(outcome).toBe('left')
    expect(events.filter(({ type }) => isTerminal(type))).toEqual([])
  })

  test('a job of a dead worker runs from the start as long as nothing was sent', async () => {
    const job = await prompted('Go')
    await queue.startAttempt(job.id, 60)
    const { events } = await run(job)
    expect(events[0]).toMatchObject({ type: 'accepted', attempt: 2 })
    expect(textOf(events)).toBe(story.join(''))
  })

  test('a job of a dead worker ends in an error once text was sent', async () => {
    const job = await prompted('Go')
    await queue.startAttempt(job.id, 60)
    await queue.appendEvents(job.id, 1, 1, 60, [{ type: 'delta', text: 'It was' }])
    const { outcome, events } = await run(job)
    expect(outcome).toBe('ended')
    expect(events).toMatchObject([{ type: 'delta' }, { type: 'error', code: 'worker_lost' }])
  })

  test('a job that ended the process of three workers is not tried again', async () => {
    const job = await prompted('Go')
    for (let attempt = 0; attempt < 3; attempt += 1) await queue.startAttempt(job.id, 60)
    const { outcome, events } = await run(job)
    expect(outcome).toBe('ended')
    expect(events).toMatchObject([{ type: 'error', code: 'worker_lost' }])
  })

  test('a job that has ended is left as it is', async () => {
    const job = await prompted('Go')
    const first = await run(job)
    expect(await run(job)).toEqual(first)
  })

  test('an engine that dies ends the job and is reported', async () => {
    const mortal = await loadScript('mortal', { script: ['again '], loop: true, contextLength: 8192 }, 1)
    const job = await granted(mortal, { maxTokens: null })
    const ended = run(job, mortal)
    await running(job)
    await mortal.close()
    const { outcome, events } = await ended
    expect(outcome).toBe('ended')
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'worker_lost' })
    expect(engineLost).toBe(1)
    expect((await run(await granted(mortal, {}), mortal)).outcome).toBe('left')
  })
})

test('the log can be searched by job and trace and holds no word of prompt or output', async () => {
  const job = await prompted('Zanzibar', { echo: true })
  await run(job)
  const lines = logged.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines).toContainEqual(expect.objectContaining({ job: job.id, trace: job.trace, model: 'scripted', finishReason: 'stop', completionTokens: story.length }))
  expect(logged).not.toMatch(/Zanzibar|stormy/)
  expect(logged).not.toContain(job.grant)
})
