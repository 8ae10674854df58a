import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest'
import { createId } from '../../shared/ids.ts'
import { cancelKey, resultKey } from '../../shared/redis-keys.ts'
import type { ScoredToken, StreamEvent } from '../../shared/stream-events.ts'
import { readEvents, until } from '../test-support/jobs.ts'
import { createResultWriter } from './result-writer.ts'
import type { ResultWriter } from './result-writer.ts'
import { createQueueScripts } from './scripts.ts'
import type { QueueScripts } from './scripts.ts'

const ttlSeconds = 60
const delta = (text: string): StreamEvent => ({ type: 'delta', text })
const done: StreamEvent = { type: 'done', finishReason: 'stop' }

let redis: Redis
let scripts: QueueScripts
let jobId: string
let heard: string[]

beforeAll(() => {
  redis = new Redis(inject('redisUrl'))
  scripts = createQueueScripts(redis)
})
afterAll(() => redis.disconnect())
beforeEach(() => {
  jobId = createId('job')
  heard = []
})

async function startWriter(appendEvents: QueueScripts['appendEvents'] = scripts.appendEvents): Promise<ResultWriter> {
  const { attempt } = await scripts.startAttempt(jobId, ttlSeconds)
  return createResultWriter({
    scripts: { appendEvents },
    jobId,
    attempt,
    ttlSeconds,
    onCancel: (reason) => heard.push(`cancel: ${reason}`),
    onRefused: (outcome) => heard.push(outcome),
    onFailure: (error) => heard.push(`failed: ${(error as Error).message}`),
  })
}

test('what arrives while an append is under way goes with the next one, deltas as one', async () => {
  const gate = Promise.withResolvers<void>()
  let underWay = 0
  let most = 0
  let appends = 0
  const writer = await startWriter(async (...call) => {
    most = Math.max(most, ++underWay)
    appends += 1
    await gate.promise
    const result = await scripts.appendEvents(...call)
    underWay -= 1
    return result
  })
  const score = (token: string): ScoredToken => ({ token, bytes: [65], logprob: -1, top: [] })
  writer.write([delta('first')])
  for (const letter of 'abc') writer.write([{ type: 'delta', text: letter, logprobs: [score(letter)] }])
  writer.write([])
  const finished = writer.finish([delta('d'), { type: 'usage', promptTokens: 1, completionTokens: 5 }, done])
  gate.resolve()
  expect(await finished).toBe('written')
  expect(await readEvents(redis, jobId)).toEqual([
    delta('first'),
    { type: 'delta', text: 'abcd', logprobs: ['a', 'b', 'c'].map(score) },
    { type: 'usage', promptTokens: 1, completionTokens: 5 },
    done,
  ])
  expect([most, appends]).toEqual([1, 2])
})

test('an event that comes at the moment when an append has ended is written too', async () => {
  for (let microtasks = 0; microtasks < 12; microtasks += 1) {
    jobId = createId('job')
    const appended: Promise<unknown>[] = []
    const writer = await startWriter((...call) => {
      const result = scripts.appendEvents(...call)
      appended.push(result)
      return result
    })
    writer.write([delta('first')])
    await appended[0]
    for (let count = 0; count < microtasks; count += 1) await undefined
    expect(await writer.finish([done])).toBe('written')
    expect(await readEvents(redis, jobId)).toEqual([delta('first'), done])
  }
})

test('a question without events hears of a cancellation', async () => {
  const writer = await startWriter()
  await redis.set(cancelKey(jobId), 'closed', 'EX', 60)
  writer.write([])
  await until(() => heard, ({ length }) => length > 0)
  expect(heard).toEqual(['cancel: closed'])
  expect(await redis.exists(resultKey(jobId))).toBe(0)
})

test('an attempt that was superseded is told and writes nothing', async () => {
  const writer = await startWriter()
  await scripts.startAttempt(jobId, ttlSeconds)
  writer.write([delta('late')])
  expect(await writer.finish([done])).toBe('fenced')
  expect(heard).toEqual(['fenced'])
  expect(await readEvents(redis, jobId)).toEqual([])
})

test('a passing refusal is tried again, a lost reply does not write twice', async () => {
  const failures = [
    Object.assign(new Error('LOADING Redis is loading the dataset in memory'), { name: 'ReplyError' }),
    new Error('Socket timeout. Expecting data, but did not receive any.'),
  ]
  const writer = await startWriter(async (...call) => {
    const failure = failures.shift()
    if (failure === undefined) return scripts.appendEvents(...call)
    if (failure.name !== 'ReplyError') await scripts.appendEvents(...call)
    throw failure
  })
  writer.write([delta('once')])
  expect(await writer.finish([done])).toBe('written')
  expect(await readEvents(redis, jobId)).toEqual([delta('once'), done])
})

test('a key of another kind in the place of the results is an error at once', async () => {
  const writer = await startWriter()
  await redis.set(resultKey(jobId), 'something else', 'EX', 60)
  await expect(writer.finish([done])).rejects.toThrow('WRONGTYPE')
  expect(heard).toEqual([expect.stringContaining('WRONGTYPE')])
})
