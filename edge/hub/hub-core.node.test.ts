import { afterAll, afterEach, expect, inject, test, vi } from 'vitest'
import { randomBase62 } from '../../shared/ids.ts'
import { cancelKey, jobsKey, resultKey } from '../../shared/redis-keys.ts'
import { connectNode } from './connect-node.ts'
import { createTokenBus } from './create-token-bus.ts'
import type { LocalTokenBus } from './create-token-bus.ts'
import { createFaultyNetwork } from './faulty-network.ts'
import type { FaultyNetwork } from './faulty-network.ts'
import type { HubSettings } from './hub-core.ts'
import { parseRedisAddress } from './redis-address.ts'
import { createRedisConnection } from './redis-connection.ts'
import { defaultRespLimits } from './resp.ts'
import { createResultReader } from './result-reader.ts'
import { collect, createTestRedis, delta, done, makeJob } from './token-bus-conformance.ts'

const never = new AbortController().signal
const address = parseRedisAddress(inject('redisUrl'))
const redis = createTestRedis(inject('redisUrl'), connectNode)
const model = `core-${randomBase62(8)}`
const opened: { close(): void }[] = []

afterEach(() => {
  for (const { close } of opened.splice(0)) close()
})
afterAll(redis.close)

function openBus(settings: Partial<HubSettings>): { bus: LocalTokenBus; network: FaultyNetwork } {
  const network = createFaultyNetwork(connectNode(address))
  const bus = createTokenBus({ connect: network.connect, address, shard: randomBase62(8), settings })
  opened.push(bus)
  return { bus, network }
}

test('a new stream does not wait for the blocked read of the others to end', async () => {
  const { bus } = openBus({ blockMs: 60_000 })
  const others = collect(await bus.submit(makeJob(model), never)).catch(() => {})
  for (let i = 0; i < 20; i++) {
    const job = makeJob(model)
    const entries = collect(await bus.submit(job, never))
    await redis.publish(job.id, done)
    expect(await entries).toHaveLength(1)
  }
  bus.close()
  await others
})

test('a stream outlives a time without Redis', async () => {
  const { bus, network } = openBus({})
  const job = makeJob(model)
  const reader = (await bus.submit(job, never)).getReader()
  await redis.publish(job.id, delta('before'))
  await reader.read()
  network.setDown(true)
  await redis.publish(job.id, delta('meanwhile'), done)
  const next = reader.read()
  await vi.waitFor(() => expect(network.refusals()).toBeGreaterThan(2))
  network.setDown(false)
  expect((await next).value).toMatchObject([{ event: delta('meanwhile') }, { event: done }])
})

test('a stream whose Redis stays away errors with queue_unavailable, and its job is cancelled when Redis is back', async () => {
  const { bus, network } = openBus({ attemptMs: 100, blockMs: 100, unreachableMs: 500 })
  const job = makeJob(model)
  const entries = collect(await bus.submit(job, never))
  network.setDown(true)
  await expect(entries).rejects.toMatchObject({ code: 'queue_unavailable' })
  network.setDown(false)
  await vi.waitFor(async () => expect(await redis.call('GET', cancelKey(job.id))).toBe('queue_unavailable'), { timeout: 10_000 })
})

test('connections that fall silent are given up and replaced', async () => {
  const { bus, network } = openBus({ attemptMs: 200, blockMs: 200 })
  const job = makeJob(model)
  const entries = collect(await bus.submit(job, never))
  network.freeze()
  await redis.publish(job.id, delta('still here'), done)
  await bus.ping()
  expect(await entries).toHaveLength(2)
})

test('a submission whose reply is lost is repeated and queues the job once', async () => {
  const { bus, network } = openBus({})
  const ownModel = `${model}-once`
  const job = makeJob(ownModel)
  network.loseRepliesTo('EVAL', 2)
  await redis.publish(job.id, done)
  expect(await collect(await bus.submit(job, never))).toHaveLength(1)
  expect(await redis.call('XLEN', jobsKey(ownModel, 'interactive'))).toBe(1)
  expect(await redis.call('EXISTS', cancelKey(job.id))).toBe(0)
})

test('a job that may have been queued, when nobody can tell, is cancelled and its submission fails', async () => {
  const { bus, network } = openBus({ operationMs: 200 })
  const ownModel = `${model}-unknown`
  const job = makeJob(ownModel)
  network.loseRepliesTo('EVAL', Infinity)
  await expect(bus.submit(job, never)).rejects.toMatchObject({ code: 'queue_unavailable' })
  expect(await redis.call('XLEN', jobsKey(ownModel, 'interactive'))).toBe(1)
  await vi.waitFor(async () => expect(await redis.call('GET', cancelKey(job.id))).toBe('queue_unavailable'), { timeout: 10_000 })
})

test('what Redis refuses to queue fails without being repeated or cancelled', async () => {
  const { bus } = openBus({})
  const ownModel = `${model}-refused`
  await redis.call('SET', jobsKey(ownModel, 'interactive'), 'no stream')
  const job = makeJob(ownModel)
  await expect(bus.submit(job, never)).rejects.toMatchObject({ code: 'queue_unavailable' })
  await bus.ping()
  expect(await redis.call('EXISTS', cancelKey(job.id))).toBe(0)
})

test('for a client that does not read, no more than its buffer is read from Redis', async () => {
  const { bus, network } = openBus({ bufferBytes: 64 * 1024, entriesPerRead: 32, blockMs: 60_000 })
  const [slow, quick] = [makeJob(model), makeJob(model)]
  const slowStream = await bus.submit(slow, never)
  const padding = 'x'.repeat(10_000)
  for (let i = 0; i < 400; i++) await redis.publish(slow.id, delta(`${i} ${padding}`))
  await redis.publish(slow.id, done)
  await redis.publish(quick.id, ...Array.from({ length: 400 }, () => delta('')), done)
  expect(await collect(await bus.submit(quick, never))).toHaveLength(401)
  const bytesRead = network.traffic.reduce((sum, connection) => sum + connection.bytesRead, 0)
  expect(bytesRead).toBeLessThan(64 * 1024 + 32 * 10_100 + 100_000)
  expect(await collect(slowStream)).toHaveLength(401)
})

test('an entry that is too large to read ends its own stream alone', async () => {
  const connect = connectNode(address)
  const open = (replyBytes: number) =>
    createRedisConnection({ connect, address, name: 'test', connectTimeoutMs: 3_000, limits: { ...defaultRespLimits, replyBytes } })
  const [reader, commands] = [open(64 * 1024), open(64 * 1024)]
  opened.push(reader, commands)
  const results = createResultReader({ reader, commands, shard: model, attemptMs: 2_000, blockMs: 2_000, entriesPerRead: 64, bufferBytes: 1e6, unreachableMs: 9_000 })
  const [large, ...small] = [makeJob(model), makeJob(model), makeJob(model)]
  await redis.publish(large.id, delta('fits'))
  await redis.publish(large.id, delta('x'.repeat(100_000)))
  for (const job of small) await redis.publish(job.id, delta('small'), done)
  const ends: string[] = []
  const read = [large, ...small].map(async (job) => new Response(results.follow(job.id, (why) => ends.push(why)).stream).text())
  const [first, ...others] = await Promise.all(read)
  expect(first).toMatch(/\tdelta\t\{"text":"fits"\}\n!\tinternal_error\t[^\n]+\n$/)
  expect(others.map((lines) => lines.match(/\t(delta|done)\t/g))).toEqual(small.map(() => ['\tdelta\t', '\tdone\t']))
  expect(ends.toSorted()).toEqual(['internal_error', 'terminal', 'terminal'])
})

test('a hub that is closed fails its streams and refuses more', async () => {
  const { bus } = openBus({})
  const entries = collect(await bus.submit(makeJob(model), never))
  bus.close()
  await expect(entries).rejects.toMatchObject({ code: 'queue_unavailable' })
  await expect(bus.ping()).rejects.toMatchObject({ code: 'queue_unavailable' })
  await expect(bus.submit(makeJob(model), never)).rejects.toMatchObject({ code: 'queue_unavailable' })
})

test('one signal may serve many jobs one after another', async () => {
  const { bus } = openBus({})
  const { signal } = new AbortController()
  const listeners = { added: 0, removed: 0 }
  vi.spyOn(signal, 'addEventListener').mockImplementation(() => void listeners.added++)
  vi.spyOn(signal, 'removeEventListener').mockImplementation(() => void listeners.removed++)
  const job = makeJob(model)
  await redis.call('XADD', resultKey(job.id), '*', 'type', 'done', 'data', '{"finishReason":"stop"}')
  await collect(await bus.submit(job, signal))
  expect(listeners.removed).toBe(listeners.added)
})
