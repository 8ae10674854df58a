import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest'
import { createId } from '../../shared/ids.ts'
import { cancelKey, jobStateKey, resultKey, resultTtlSeconds } from '../../shared/redis-keys.ts'
import { errorEvent, isTerminal } from '../../shared/stream-events.ts'
import type { StreamEvent } from '../../shared/stream-events.ts'
import { readEvents } from '../test-support/jobs.ts'
import { createQueueScripts } from './scripts.ts'
import type { QueueScripts } from './scripts.ts'

const ttl = 100
const delta = (text: string): StreamEvent => ({ type: 'delta', text })
const done: StreamEvent = { type: 'done', finishReason: 'stop' }

let redis: Redis
let other: Redis
let scripts: QueueScripts
let job: string

beforeAll(() => {
  redis = new Redis(inject('redisUrl'))
  other = new Redis(inject('redisUrl'))
  scripts = createQueueScripts(redis)
})
afterAll(() => {
  redis.disconnect()
  other.disconnect()
})
beforeEach(() => {
  job = createId('job')
})

test('each attempt has the next number and learns what the one before wrote', async () => {
  expect(await scripts.startAttempt(job, ttl)).toEqual({ attempt: 1, deltas: 0, ended: false, cancelReason: null })
  await scripts.appendEvents(job, 1, 1, ttl, [delta('a'), delta('b')])
  expect(await scripts.startAttempt(job, ttl)).toEqual({ attempt: 2, deltas: 2, ended: false, cancelReason: null })
  await scripts.appendEvents(job, 2, 1, ttl, [delta('c'), done])
  expect(await scripts.startAttempt(job, ttl)).toEqual({ attempt: 0, deltas: 3, ended: true, cancelReason: null })
  expect(await readEvents(redis, job)).toEqual([delta('a'), delta('b'), delta('c'), done])
})

test('an attempt that was superseded can write nothing more', async () => {
  await scripts.startAttempt(job, ttl)
  await scripts.startAttempt(job, ttl)
  expect(await scripts.appendEvents(job, 1, 1, ttl, [delta('from the dead'), done])).toEqual({ outcome: 'fenced', cancelReason: null })
  expect(await scripts.appendEvents(job, 1, 0, ttl, [])).toMatchObject({ outcome: 'fenced' })
  expect(await readEvents(redis, job)).toEqual([])
})

test('nothing can be written to a job whose state is gone', async () => {
  expect(await scripts.appendEvents(job, 1, 1, ttl, [done])).toMatchObject({ outcome: 'fenced' })
  expect(await redis.exists(resultKey(job), jobStateKey(job))).toBe(0)
})

test('of many writers that end a job at the same time exactly one does', async () => {
  const writers = Array.from({ length: 8 }, () => new Redis(inject('redisUrl')))
  const outcomes = await Promise.all(
    writers.map(async (connection, index) => {
      const mine = createQueueScripts(connection)
      const { attempt, ended } = await mine.startAttempt(job, ttl)
      if (ended) return 'ended before'
      const event = index % 2 === 0 ? done : errorEvent('worker_lost', 'Lost.')
      const results = await Promise.all([1, 2, 3].map((number) => mine.appendEvents(job, attempt, number, ttl, [event])))
      return results.filter(({ outcome }) => outcome === 'written').length
    }),
  )
  for (const connection of writers) connection.disconnect()
  expect(outcomes.filter((outcome) => outcome === 1)).toHaveLength(1)
  expect(outcomes.filter((outcome) => typeof outcome === 'number' && outcome > 1)).toEqual([])
  expect((await readEvents(redis, job)).filter(({ type }) => isTerminal(type))).toHaveLength(1)
})

test('an append that is sent again because its reply was lost is written once', async () => {
  await scripts.startAttempt(job, ttl)
  for (let time = 0; time < 3; time += 1) {
    expect(await scripts.appendEvents(job, 1, 1, ttl, [delta('once')])).toMatchObject({ outcome: 'written' })
  }
  for (let time = 0; time < 2; time += 1) {
    expect(await scripts.appendEvents(job, 1, 2, ttl, [done])).toMatchObject({ outcome: 'written' })
  }
  expect(await scripts.appendEvents(job, 1, 3, ttl, [delta('after the end')])).toMatchObject({ outcome: 'finished' })
  expect(await readEvents(redis, job)).toEqual([delta('once'), done])
})

test('a cancellation is seen at the start, with an append and with a question', async () => {
  await scripts.startAttempt(job, ttl)
  expect(await scripts.appendEvents(job, 1, 1, ttl, [delta('a')])).toEqual({ outcome: 'written', cancelReason: null })
  await redis.set(cancelKey(job), 'client went away', 'EX', 60)
  expect(await scripts.appendEvents(job, 1, 1, ttl, [])).toEqual({ outcome: 'written', cancelReason: 'client went away' })
  expect(await scripts.appendEvents(job, 1, 2, ttl, [delta('b')])).toEqual({ outcome: 'written', cancelReason: 'client went away' })
  expect(await scripts.startAttempt(job, ttl)).toMatchObject({ attempt: 2, cancelReason: 'client went away' })
})

test('everything expires: later than the deadline while the job runs, soon after its end', async () => {
  const times = () => Promise.all([resultKey(job), jobStateKey(job)].map((key) => redis.ttl(key)))
  await scripts.startAttempt(job, 5000)
  await scripts.appendEvents(job, 1, 1, 5000, [delta('a')])
  for (const seconds of await times()) expect(seconds).toBeGreaterThan(4900)
  await redis.expire(resultKey(job), 10)
  await scripts.appendEvents(job, 1, 1, 5000, [])
  for (const seconds of await times()) expect(seconds).toBeGreaterThan(4900)
  await scripts.appendEvents(job, 1, 2, 5000, [done])
  for (const seconds of await times()) {
    expect(seconds).toBeGreaterThan(resultTtlSeconds - 60)
    expect(seconds).toBeLessThanOrEqual(resultTtlSeconds)
  }
})

test('the scripts work again after Redis has forgotten them', async () => {
  await scripts.startAttempt(job, ttl)
  await scripts.appendEvents(job, 1, 1, ttl, [delta('a')])
  await other.script('FLUSH')
  expect(await scripts.appendEvents(job, 1, 2, ttl, [delta('b')])).toMatchObject({ outcome: 'written' })
  expect(await readEvents(redis, job)).toEqual([delta('a'), delta('b')])
})
