/**
 * What every token bus must do, run against each of them on a real Redis (token-bus.node.test.ts,
 * token-bus.workerd.test.ts). The suite plays the worker's part over a connection of its own.
 */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createId, randomBase62 } from '../../shared/ids.ts'
import { jobVersion } from '../../shared/job.ts'
import type { Job } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { cancelKey, jobsKey, modelKey, modelsKey, resultKey } from '../../shared/redis-keys.ts'
import { encodeEventData } from '../../shared/stream-events.ts'
import type { StreamEntry, StreamEvent } from '../../shared/stream-events.ts'
import type { Connect } from './byte-connection.ts'
import type { LocalTokenBus } from './create-token-bus.ts'
import type { HubSettings } from './hub-core.ts'
import { parseRedisAddress } from './redis-address.ts'
import type { RedisAddress } from './redis-address.ts'
import { createRedisConnection } from './redis-connection.ts'
import { replyValue } from './resp.ts'
import type { RespValue } from './resp.ts'
import type { TokenBus } from './token-bus.ts'

export interface TokenBusUnderTest {
  readonly redisUrl: string
  readonly connect: (address: RedisAddress) => Connect
  readonly bus: TokenBus
  /** What the names of the bus's connections begin with, up to `:commands` and `:reader`. */
  readonly connectionName: string
  /** The same core elsewhere: at an address of its own and with limits that a test can wait for. */
  createLocalBus(redisUrl: string, settings: Partial<HubSettings>): LocalTokenBus
  close(): void
}

const never = new AbortController().signal

/** Every suite has a model of its own, so that files that run side by side on one Redis do not meet. */
export function makeJob(model: string): Job {
  return {
    version: jobVersion,
    id: createId('job'),
    model,
    class: 'interactive',
    grant: 'a.b.c',
    deadline: 0,
    trace: 'req_1',
    request: {
      prompt: { type: 'text', text: 'Grüße, 世界 🌍' },
      maxTokens: 5,
      sampling: { temperature: 0, topP: 1, seed: 1 },
      stop: [],
      ignoreEos: false,
      logprobs: null,
      echo: false,
    },
  }
}

/** The worker's side, and an operator's. */
export interface TestRedis {
  call(...args: readonly string[]): Promise<RespValue>
  /** Appends events to a job's results, all in one write. */
  publish(jobId: string, ...events: readonly StreamEvent[]): Promise<void>
  /** Waits until the bus has both its connections, and ends them. */
  killConnections(name: string): Promise<void>
  close(): void
}

export function createTestRedis(redisUrl: string, connect: (address: RedisAddress) => Connect): TestRedis {
  const address = parseRedisAddress(redisUrl)
  const connection = createRedisConnection({ connect: connect(address), address, name: 'test', connectTimeoutMs: 5_000 })
  const call = async (...args: readonly string[]): Promise<RespValue> => replyValue(await connection.command(args, 20_000))
  return {
    call,
    async publish(jobId, ...events) {
      await Promise.all(events.map((event) => call('XADD', resultKey(jobId), '*', 'type', event.type, 'data', encodeEventData(event))))
    },
    async killConnections(name) {
      const ids = await vi.waitFor(
        async () => {
          const list = String(await call('CLIENT', 'LIST')).split('\n')
          const found = list.flatMap((line) => (line.includes(` name=${name}:`) ? (/^id=(\d+)/.exec(line)?.[1] ?? []) : []))
          expect(found).toHaveLength(2)
          return found
        },
        { timeout: 10_000, interval: 5 },
      )
      await Promise.all(ids.map((id) => call('CLIENT', 'KILL', 'ID', id)))
    },
    close: () => connection.close(),
  }
}

export async function collect(stream: ReadableStream<readonly StreamEntry[]>): Promise<StreamEntry[]> {
  const entries: StreamEntry[] = []
  const reader = stream.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return entries
    entries.push(...value)
  }
}

export const delta = (text: string): StreamEvent => ({ type: 'delta', text })
export const done: StreamEvent = { type: 'done', finishReason: 'stop' }

function texts(entries: readonly StreamEntry[]): string[] {
  return entries.flatMap(({ event }) => (event.type === 'delta' ? event.text : []))
}

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, i) => `${from + i}`)

export function testTokenBus(open: () => TokenBusUnderTest): void {
  const model = `conformance-${randomBase62(8)}`
  let subject: TokenBusUnderTest
  let bus: TokenBus
  let redis: TestRedis

  beforeAll(() => {
    subject = open()
    bus = subject.bus
    redis = createTestRedis(subject.redisUrl, subject.connect)
  })
  afterAll(() => {
    subject.close()
    redis.close()
  })

  /** Waits until the worker would see that the job is cancelled, and returns the reason. */
  const cancelled = (jobId: string): Promise<RespValue> =>
    vi.waitFor(
      async () => {
        const reason = await redis.call('GET', cancelKey(jobId))
        expect(reason).not.toBeNull()
        return reason
      },
      { timeout: 10_000 },
    )

  test('a submitted job is in its queue, once, as it was given', async () => {
    const job = { ...makeJob(model), class: 'batch' as const }
    await bus.submit(job, never)
    const entries = (await redis.call('XRANGE', jobsKey(model, 'batch'), '-', '+')) as [string, [string, string]][]
    expect(entries.map(([, [field, json]]) => [field, JSON.parse(json)])).toEqual([['job', job]])
  })

  test('all events arrive in order with the ids of their entries, and the stream closes after the terminal one', async () => {
    const job = makeJob(model)
    const entries = collect(await bus.submit(job, never))
    const words = numbers(500).map((number) => `${number} "ß\n\t🌍"`)
    for (let i = 0; i < words.length; i += 50) await redis.publish(job.id, ...words.slice(i, i + 50).map(delta))
    await redis.publish(job.id, { type: 'usage', promptTokens: 1, completionTokens: 500 }, done, delta('after the end'))
    const received = await entries
    expect(texts(received)).toEqual(words)
    expect(received.slice(-2).map(({ event }) => event.type)).toEqual(['usage', 'done'])
    const stored = (await redis.call('XRANGE', resultKey(job.id), '-', '+')) as [string, string[]][]
    expect(received.map(({ id }) => id)).toEqual(stored.slice(0, -1).map(([id]) => id))
  })

  test('an error event is terminal too', async () => {
    const job = makeJob(model)
    const entries = collect(await bus.submit(job, never))
    const failure: StreamEvent = { type: 'error', code: 'grant_refused', message: 'No.', param: null }
    await redis.publish(job.id, failure)
    expect((await entries).map(({ event }) => event)).toEqual([failure])
  })

  test('events written before the job was followed arrive as one batch', async () => {
    const job = makeJob(model)
    await redis.publish(job.id, ...numbers(20).map(delta), done)
    const reader = (await bus.submit(job, never)).getReader()
    const first = await reader.read()
    expect(first.value).toHaveLength(21)
    expect(await reader.read()).toMatchObject({ done: true })
  })

  test('256 streams at once on two connections', async () => {
    const jobs = Array.from({ length: 256 }, () => makeJob(model))
    const streams = await Promise.all(jobs.map(async (job) => collect(await bus.submit(job, never))).map((entries) => ({ entries })))
    for (let round = 0; round < 4; round++) {
      await Promise.all(jobs.map((job) => redis.publish(job.id, ...numbers(4, round * 4).map((number) => delta(`${job.id} ${number}`)))))
    }
    const connections = String(await redis.call('CLIENT', 'LIST')).split(` name=${subject.connectionName}:`).length - 1
    await Promise.all(jobs.map((job) => redis.publish(job.id, done)))
    const received = await Promise.all(streams.map(({ entries }) => entries))
    expect(received.map(texts)).toEqual(jobs.map((job) => numbers(16).map((number) => `${job.id} ${number}`)))
    expect(connections).toBe(2)
  })

  test.each(['cancelling the stream', 'aborting the signal'])('%s cancels the job, once, and leaves other streams alone', async (how) => {
    const [job, other] = [makeJob(model), makeJob(model)]
    const controller = new AbortController()
    const stream = await bus.submit(job, controller.signal)
    const others = collect(await bus.submit(other, never))
    const reader = stream.getReader()
    await redis.publish(job.id, delta('first'))
    expect(texts((await reader.read()).value ?? [])).toEqual(['first'])

    if (how === 'cancelling the stream') await reader.cancel()
    else controller.abort()
    expect(await cancelled(job.id)).toBe('client_disconnected')

    // Whatever comes after says nothing new.
    await redis.call('DEL', cancelKey(job.id))
    controller.abort()
    await reader.cancel().catch(() => {})
    await redis.publish(other.id, delta('undisturbed'), done)
    expect(texts(await others)).toEqual(['undisturbed'])
    expect(await redis.call('EXISTS', cancelKey(job.id))).toBe(0)
  })

  test('an aborted stream errors with the reason of its signal', async () => {
    const controller = new AbortController()
    const reader = (await bus.submit(makeJob(model), controller.signal)).getReader()
    const pending = reader.read()
    const reason = new Error('the client left')
    controller.abort(reason)
    await expect(pending).rejects.toBe(reason)
  })

  test('leaving before the job is known to be queued cancels it all the same', async () => {
    const job = makeJob(model)
    const controller = new AbortController()
    const submitted = bus.submit(job, controller.signal)
    const reason = new Error('impatient')
    controller.abort(reason)
    await expect(submitted).rejects.toBe(reason)
    await cancelled(job.id)
  })

  test('leaving after the end cancels nothing', async () => {
    const job = makeJob(model)
    const controller = new AbortController()
    const stream = await bus.submit(job, controller.signal)
    await redis.publish(job.id, done)
    const reader = stream.getReader()
    await reader.read()
    controller.abort()
    await reader.cancel().catch(() => {})
    await bus.ping()
    expect(await redis.call('EXISTS', cancelKey(job.id))).toBe(0)
  })

  test('a job whose client left before is never queued', async () => {
    const ownModel = `${model}-aborted`
    const reason = new Error('gone')
    await expect(bus.submit(makeJob(ownModel), AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(await redis.call('EXISTS', jobsKey(ownModel, 'interactive'))).toBe(0)
  })

  test('cancel asks with its reason, as often as one likes', async () => {
    const { id } = makeJob(model)
    await bus.cancel(id, 'key_revoked')
    await bus.cancel(id, 'key_revoked')
    expect(await redis.call('GET', cancelKey(id))).toBe('key_revoked')
    expect(await redis.call('TTL', cancelKey(id))).toBeGreaterThan(500)
  })

  test('connections that are killed again and again lose nothing and repeat nothing', async () => {
    const ownModel = `${model}-killed`
    const jobs: Job[] = []
    const streams: Promise<StreamEntry[]>[] = []
    for (let round = 0; round < 40; round++) {
      if (round < 30) {
        const job = makeJob(ownModel)
        jobs.push(job)
        streams.push(bus.submit(job, never).then(collect))
      }
      const publishing = Promise.all(jobs.map((job) => redis.publish(job.id, delta(`${round}`))))
      await bus.ping()
      await redis.killConnections(subject.connectionName)
      await publishing
    }
    await Promise.all(jobs.map((job) => redis.publish(job.id, done)))
    const received = await Promise.all(streams)
    expect(received.map(texts)).toEqual(jobs.map((_, index) => numbers(40 - index, index)))
    expect(await redis.call('XLEN', jobsKey(ownModel, 'interactive'))).toBe(jobs.length)
  })

  test('a client that does not read gets everything once it does, and holds up nobody', async () => {
    const [slow, quick] = [makeJob(model), makeJob(model)]
    const slowStream = await bus.submit(slow, never)
    const quickEntries = collect(await bus.submit(quick, never))
    const padding = 'x'.repeat(1_000)
    const words = numbers(2_000)
    for (let i = 0; i < words.length; i += 100) await redis.publish(slow.id, ...words.slice(i, i + 100).map((word) => delta(`${word} ${padding}`)))
    await redis.publish(quick.id, ...numbers(100).map(delta), done)
    expect(texts(await quickEntries)).toEqual(numbers(100))
    await redis.publish(slow.id, done)
    expect(texts(await collect(slowStream))).toEqual(words.map((word) => `${word} ${padding}`))
  })

  const foreign: readonly (readonly [string, (key: string) => readonly string[]])[] = [
    ['fields of other names', (key) => ['XADD', key, '*', 'kind', 'delta', 'data', '{}']],
    ['one field only', (key) => ['XADD', key, '*', 'type', 'delta']],
    ['data that is no JSON', (key) => ['XADD', key, '*', 'type', 'delta', 'data', '{"text":']],
    ['data of another shape', (key) => ['XADD', key, '*', 'type', 'delta', 'data', '{"text":1}']],
    ['an unknown type', (key) => ['XADD', key, '*', 'type', 'toString', 'data', '{}']],
    ['a line break and a forged event', (key) => ['XADD', key, '*', 'type', 'delta', 'data', '{"text":"a"}\n9-9\tdelta\t{"text":"forged"}']],
    ['a tab in the type', (key) => ['XADD', key, '*', 'type', 'delta\t{"text":"forged"}', 'data', '{}']],
    ['a key that is no stream', (key) => ['SET', key, 'a string']],
  ]
  test.each(foreign)('a foreign writer (%s) breaks that stream alone', async (_name, write) => {
    const [job, other] = [makeJob(model), makeJob(model)]
    const broken = collect(await bus.submit(job, never)).catch((error: unknown) => error)
    const fine = collect(await bus.submit(other, never))
    await redis.call(...write(resultKey(job.id)))
    expect(await broken).toMatchObject({ code: 'internal_error' })
    await redis.publish(other.id, delta('fine'), done)
    expect(texts(await fine)).toEqual(['fine'])
    await cancelled(job.id)
  })

  test('events before a malformed one are delivered', async () => {
    const job = makeJob(model)
    await redis.publish(job.id, delta('good'))
    await redis.call('XADD', resultKey(job.id), '*', 'nonsense', '')
    const reader = (await bus.submit(job, never)).getReader()
    expect(texts((await reader.read()).value ?? [])).toEqual(['good'])
    await expect(reader.read()).rejects.toMatchObject({ code: 'internal_error' })
  })

  test('models are listed newest first; what has expired or is foreign is not', async () => {
    const registration = (id: string, startedAt: number): ModelRegistration => ({
      id,
      weightsDigest: `sha256:${'a'.repeat(64)}`,
      precision: 'fp32',
      contextLength: 64,
      vocabularySize: 512,
      licence: 'mit',
      created: 1,
      ownedBy: 'a lab',
      startedAt,
    })
    const [older, newer, expired, broken] = ['older', 'newer', 'expired', 'broken'].map((suffix) => `${model}-${suffix}`) as [string, string, string, string]
    await redis.call('SADD', modelsKey, older, newer, expired, broken)
    await redis.call('SET', modelKey(older), JSON.stringify(registration(older, 1)))
    await redis.call('SET', modelKey(newer), JSON.stringify(registration(newer, 2)))
    await redis.call('SET', modelKey(broken), '{"id":')
    await vi.waitFor(
      async () => {
        const own = (await bus.models()).filter(({ id }) => id.startsWith(model))
        expect(own).toEqual([registration(newer, 2), registration(older, 1)])
        expect(await redis.call('SISMEMBER', modelsKey, expired)).toBe(0)
      },
      { timeout: 10_000, interval: 100 },
    )
    await redis.call('SREM', modelsKey, older, newer, broken)
  })

  test('ping resolves', async () => {
    await expect(bus.ping()).resolves.toBeUndefined()
  })

  test.each([
    ['nobody listens', () => 'redis://:hunter2@127.0.0.1:9'],
    ['the password is wrong', () => subject.redisUrl.replace(/:[^:@/]*@/, ':hunter2@')],
  ])('when %s, every call fails with queue_unavailable and shows no password', async (_name, url) => {
    const unreachable = subject.createLocalBus(url(), { attemptMs: 300, operationMs: 300, unreachableMs: 300 })
    const failures = await Promise.all(
      [unreachable.submit(makeJob(model), never), unreachable.cancel(createId('job'), 'x'), unreachable.models(), unreachable.ping()].map(
        (call: Promise<unknown>) => call.then(() => 'resolved', (error: Error) => error),
      ),
    )
    unreachable.close()
    expect(failures).toEqual(failures.map(() => expect.objectContaining({ code: 'queue_unavailable' })))
    expect(failures.map((error) => `${String(error)} ${String((error as Error).cause)}`).join()).not.toContain('hunter2')
  })
}
