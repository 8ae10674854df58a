import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { createId } from '../../shared/ids.ts'
import type { Job } from '../../shared/job.ts'
import { jobsKey, workerGroup } from '../../shared/redis-keys.ts'
import { leaseSettings } from '../configuration.ts'
import { enqueue, makeJob, readEvents, until } from '../test-support/jobs.ts'
import { startConsumer } from './consumer.ts'
import type { Consumer, ConsumerOptions, JobOutcome } from './consumer.ts'
import { closeRedis, connectToRedis } from './redis-connection.ts'
import { createQueueScripts } from './scripts.ts'

const silent = pino({ level: 'silent' })

/** A worker whose jobs end when the test says so. */
interface TestWorker {
  readonly name: string
  readonly consumer: Consumer
  readonly running: Map<string, { signal: AbortSignal; end(outcome: JobOutcome): void; fail(error: Error): void }>
  /** Ids of all jobs that were started, in order. */
  readonly started: string[]
}

let model: string
let redis: Redis
const cleanUps: (() => Promise<void> | void)[] = []

beforeEach(() => {
  model = createId('worker')
  redis = new Redis(inject('redisUrl'))
  cleanUps.push(() => redis.disconnect())
})
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

function startWorker(options: Partial<ConsumerOptions> = {}): TestWorker {
  const commands = connectToRedis(inject('redisUrl'), 'commands', silent)
  const running: TestWorker['running'] = new Map()
  const started: string[] = []
  const name = createId('worker')
  const consumer = startConsumer({
    redis: commands,
    reader: connectToRedis(inject('redisUrl'), `reader-of-${name}`, silent),
    scripts: createQueueScripts(commands),
    model,
    consumer: name,
    capacity: 4,
    lease: leaseSettings(600),
    run(job, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<JobOutcome>()
      signal.addEventListener('abort', () => resolve('left'))
      running.set(job.id, { signal, end: resolve, fail: reject })
      started.push(job.id)
      return promise.finally(() => running.delete(job.id))
    },
    log: silent,
    ...options,
  })
  cleanUps.push(async () => {
    await consumer.stop(0)
    closeRedis(commands)
  })
  return { name, consumer, running, started }
}

async function enqueueJobs(count: number, rest: Partial<Job> = {}): Promise<string[]> {
  const jobs = Array.from({ length: count }, () => makeJob(model, {}, rest))
  for (const job of jobs) await enqueue(redis, job)
  return jobs.map(({ id }) => id)
}

const queueLength = (): Promise<number> => redis.xlen(jobsKey(model, 'interactive'))
const pendingCount = async (): Promise<number> => (await redis.xpending(jobsKey(model, 'interactive'), workerGroup))[0] as number

test('a job leaves the queue when it has ended, not before', async () => {
  const [job] = await enqueueJobs(1)
  const worker = startWorker()
  await until(() => worker.running.size, (size) => size === 1)
  expect([await queueLength(), await pendingCount()]).toEqual([1, 1])
  worker.running.get(job!)!.end('ended')
  await until(queueLength, (length) => length === 0)
  await until(pendingCount, (count) => count === 0)
})

test('interactive jobs go before batch jobs', async () => {
  // The same entry ids in both streams, as happens under load.
  const batch = [makeJob(model), makeJob(model)]
  const interactive = [makeJob(model), makeJob(model)]
  for (const index of [0, 1]) {
    await redis.xadd(jobsKey(model, 'batch'), `${index + 1}-0`, 'job', JSON.stringify(batch[index]))
    await redis.xadd(jobsKey(model, 'interactive'), `${index + 1}-0`, 'job', JSON.stringify(interactive[index]))
  }
  const worker = startWorker({ capacity: 3 })
  await until(() => worker.started, (started) => started.length === 3)
  expect(worker.started).toEqual([...interactive, batch[0]!].map(({ id }) => id))
  worker.running.get(batch[0]!.id)!.end('ended')
  await until(() => worker.started, (started) => started.length === 4)
  expect(worker.started[3]).toBe(batch[1]!.id)
})

test('a worker takes what fits and leaves the rest to others', async () => {
  const first = startWorker({ capacity: 2 })
  const jobs = await enqueueJobs(5)
  await until(() => first.running.size, (size) => size === 2)
  const second = startWorker({ capacity: 10 })
  await until(() => second.running.size, (size) => size === 3)
  expect([...first.started, ...second.started].toSorted()).toEqual(jobs.toSorted())

  const [more] = await enqueueJobs(1)
  await until(() => second.running.has(more!), (has) => has)
  expect(first.started).toHaveLength(2)
})

test('a worker with no room takes the next job when one ends', async () => {
  const jobs = await enqueueJobs(3)
  const worker = startWorker({ capacity: 1 })
  for (const job of jobs) {
    await until(() => worker.running.has(job), (has) => has)
    expect(worker.running.size).toBe(1)
    worker.running.get(job)!.end('ended')
  }
})

test('the jobs of a worker that is not heard of go to another one, and its name is forgotten', async () => {
  const key = jobsKey(model, 'interactive')
  const jobs = await enqueueJobs(3)
  await redis.xgroup('CREATE', key, workerGroup, '0')
  await redis.xreadgroup('GROUP', workerGroup, 'dead', 'COUNT', 3, 'STREAMS', key, '>')
  const worker = startWorker({ lease: { ...leaseSettings(600), forgetMs: 300 } })
  await until(() => worker.running.size, (size) => size === 3)
  expect(worker.started.toSorted()).toEqual(jobs.toSorted())
  for (const { end } of worker.running.values()) end('ended')
  await until(queueLength, (length) => length === 0)
  const names = async () => ((await redis.xinfo('CONSUMERS', key, workerGroup)) as string[][]).map((fields) => fields[1])
  expect(await until(names, (found) => !found.includes('dead'))).toEqual([worker.name])
})

test('a job that takes many times the lease is not taken away', async () => {
  await enqueueJobs(1)
  const first = startWorker({ lease: leaseSettings(300) })
  await until(() => first.running.size, (size) => size === 1)
  const second = startWorker({ lease: leaseSettings(300) })
  // Other work goes on meanwhile, which shows that the second worker is there and looks.
  for (let round = 0; round < 10; round += 1) {
    await enqueueJobs(1, { class: 'batch' })
    await until(() => first.started.length + second.started.length, (count) => count === round + 2)
    for (const worker of [first, second]) {
      for (const [id, { end }] of worker.running) if (id !== first.started[0]) end('ended')
    }
    await until(() => redis.xlen(jobsKey(model, 'batch')), (length) => length === 0)
    await delay(100)
  }
  expect(second.started).not.toContain(first.started[0])
  expect(first.running.get(first.started[0]!)!.signal.aborted).toBe(false)
})

test('a worker that lost its lease is told and does not take the job back', async () => {
  const key = jobsKey(model, 'interactive')
  await enqueueJobs(1)
  const worker = startWorker({ lease: leaseSettings(1200) })
  await until(() => worker.running.size, (size) => size === 1)
  const { signal } = [...worker.running.values()][0]!
  const [entry] = await redis.xrange(key, '-', '+')
  // As another worker would after a lapse; far in the future, so that nobody takes it from there.
  await redis.xclaim(key, workerGroup, 'other', 0, entry![0], 'TIME', Date.now() + 600_000)
  await until(() => signal.aborted, (aborted) => aborted)
  expect(signal.reason).toBe('lease-lost')
  await until(() => worker.running.size, (size) => size === 0)
  const pending = await redis.xpending(key, workerGroup, '-', '+', 10)
  expect(pending.map((row) => (row as unknown[]).slice(0, 2))).toEqual([[entry![0], 'other']])
  expect(worker.started).toHaveLength(1)
})

test.each([
  ['no field of that name', 'other', () => 'x', []],
  ['not JSON', 'job', () => '{"id":', []],
  ['not an object', 'job', () => '[]', []],
  ['an unknown version', 'job', (job: Job) => JSON.stringify({ ...job, version: job.version + 1 }), [{ type: 'error', code: 'internal_error' }]],
  ['a missing request', 'job', (job: Job) => JSON.stringify({ ...job, request: undefined }), [{ type: 'error', code: 'internal_error' }]],
  ['a hostile id', 'job', (job: Job) => JSON.stringify({ ...job, id: '../../x' }), []],
] as const)('an entry that is not a job is answered where it can be and put aside: %s', async (_name, field, value, answer) => {
  const job = makeJob(model)
  await redis.xadd(jobsKey(model, 'interactive'), '*', field, value(job))
  const worker = startWorker()
  await until(queueLength, (length) => length === 0)
  expect(await readEvents(redis, job.id)).toMatchObject(answer)
  const [next] = await enqueueJobs(1)
  await until(() => worker.started, (started) => started.includes(next!))
})

test('a job whose results can not be written is dropped and does not come back', async () => {
  const [poison] = await enqueueJobs(1)
  const worker = startWorker({ lease: leaseSettings(300) })
  await until(() => worker.running.size, (size) => size === 1)
  worker.running.get(poison!)!.fail(new Error('WRONGTYPE Operation against a key holding the wrong kind of value'))
  await until(queueLength, (length) => length === 0)
  expect(await pendingCount()).toBe(0)
})

test('goes on when its streams and groups vanish', async () => {
  const worker = startWorker()
  const jobs: string[] = []
  for (let time = 0; time < 3; time += 1) {
    jobs.push(...(await enqueueJobs(1)))
    await until(() => worker.started.length, (count) => count === jobs.length)
    await redis.del(jobsKey(model, 'interactive'), jobsKey(model, 'batch'))
  }
  expect(worker.started).toEqual(jobs)
})

test('goes on when its connections are cut, and loses no job', async () => {
  const worker = startWorker({ capacity: 100, lease: leaseSettings(600) })
  const jobs: string[] = []
  for (let time = 0; time < 10; time += 1) {
    jobs.push(...(await enqueueJobs(3)))
    const clients = (await redis.client('LIST')) as string
    for (const line of clients.split('\n').filter((text) => text.includes(`reader-of-${worker.name}`))) {
      await redis.client('KILL', 'ID', Number(/id=(\d+)/.exec(line)![1]))
    }
  }
  await until(() => worker.started.length, (count) => count === jobs.length)
  expect(worker.started.toSorted()).toEqual(jobs.toSorted())
})

test('a worker that stops lets jobs end, and hands the others over at once', async () => {
  const lease = { ...leaseSettings(600), lapseMs: 3_600_000 }
  const jobs = await enqueueJobs(2)
  const first = startWorker({ lease })
  await until(() => first.running.size, (size) => size === 2)
  const stopped = first.consumer.stop(300)
  first.running.get(jobs[0]!)!.end('ended')
  const { signal } = first.running.get(jobs[1]!)!
  await stopped
  expect(signal.reason).toBe('worker-stopping')
  expect(await queueLength()).toBe(1)
  const second = startWorker({ lease })
  await until(() => second.started, (started) => started.length === 1)
  expect(second.started).toEqual([jobs[1]])
  expect(first.started).toHaveLength(2)
})
