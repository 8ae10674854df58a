import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { randomBase62 } from '../../shared/ids.ts'
import { cancelKey, jobsKey } from '../../shared/redis-keys.ts'
import { connectWorkerd } from './connect-workerd.ts'
import { createHubTokenBus } from './hub-token-bus.ts'
import { Hub } from './hub.ts'
import { collect, createTestRedis, delta, done, makeJob } from './token-bus-conformance.ts'
import type { TestRedis } from './token-bus-conformance.ts'

const model = `hub-${randomBase62(8)}`
const never = new AbortController().signal
let redis: TestRedis

beforeAll(() => {
  redis = createTestRedis(inject('redisUrl'), connectWorkerd)
})
afterAll(() => redis.close())

test("an object's death breaks its streams visibly and cancels their jobs; the next one works", async () => {
  const bus = createHubTokenBus(env.HUB, 1)
  const job = makeJob(model)
  const reader = (await bus.submit(job, never)).getReader()
  await redis.publish(job.id, delta('before'))
  expect((await reader.read()).value).toMatchObject([{ event: delta('before') }])
  const next = reader.read().catch((error: unknown) => error)

  await abortAllDurableObjects()
  expect(await next).toMatchObject({ code: 'queue_unavailable' })
  await vi.waitFor(async () => expect(await redis.call('GET', cancelKey(job.id))).toBe('hub_lost'), { timeout: 10_000 })

  const later = makeJob(model)
  await redis.publish(later.id, delta('after'), done)
  expect(await collect(await bus.submit(later, never))).toMatchObject([{ event: delta('after') }, { event: done }])
})

test('jobs spread over the shards, and each is cancelled where it was queued', async () => {
  const asked: string[] = []
  const bus = createHubTokenBus(
    {
      getByName(name) {
        asked.push(name)
        return env.HUB.getByName(name)
      },
    },
    4,
  )
  const ownModel = `${model}-shards`
  const jobs = Array.from({ length: 32 }, () => makeJob(ownModel))
  await Promise.all(jobs.map((job) => redis.publish(job.id, done)))
  await Promise.all(jobs.map(async (job) => collect(await bus.submit(job, never))))
  const submittedTo = asked.splice(0)
  await Promise.all(jobs.map((job) => bus.cancel(job.id, 'test')))
  expect(asked).toEqual(submittedTo)
  expect(new Set(submittedTo)).toEqual(new Set(['hub-0', 'hub-1', 'hub-2', 'hub-3']))
  expect(await redis.call('XLEN', jobsKey(ownModel, 'interactive'))).toBe(32)
})

test.each([
  ['no such operation', '/nothing', 404],
  ['a job without a model', '/submit?id=job_000000000000000000000000&class=batch', 500],
  ['an id that is none', '/cancel?id=x}&reason=y', 500],
])('%s is answered with an error body', async (_name, path, status) => {
  const response = await env.HUB.getByName('hub-0').fetch(`https://hub${path}`, { method: 'POST' })
  expect(response.status).toBe(status)
  expect(await response.json()).toMatchObject({ error: { code: expect.any(String) } })
})

test('without a Redis address every call says that the gateway is misconfigured', async () => {
  const code = await runInDurableObject(env.HUB.getByName('hub-0'), async (_instance, state) => {
    const hub = new Hub(state, { REDIS_URL: '' })
    const bus = createHubTokenBus({ getByName: () => ({ fetch: (url: string, init?: RequestInit) => hub.fetch(new Request(url, init)) }) }, 1)
    return bus.ping().catch((error: unknown) => error)
  })
  expect(code).toMatchObject({ code: 'gateway_misconfigured' })
})
