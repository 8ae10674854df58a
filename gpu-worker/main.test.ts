/** The real worker process: what it says to its parent, and what is left when it is stopped, killed or orphaned. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import { createId } from '../shared/ids.ts'
import type { GrantKey } from '../shared/grant.ts'
import type { GenerationRequest, Job } from '../shared/job.ts'
import { jobsKey, modelKey, workerGroup } from '../shared/redis-keys.ts'
import { isTerminal } from '../shared/stream-events.ts'
import { startOwnRedis } from '../test/support/own-redis.ts'
import { createGrantKey, enqueue, eventsUntilEnd, grantJob, makeJob, readEvents, textOf, until } from './test-support/jobs.ts'
import { compileScript } from './test-support/scripted-model.ts'
import type { CompiledScript } from './test-support/scripted-model.ts'

const modelId = createId('worker')
let redis: Redis
let key: GrantKey
let model: CompiledScript

beforeAll(async () => {
  redis = new Redis(inject('redisUrl'))
  key = await createGrantKey()
  model = await compileScript(modelId, { script: Array.from({ length: 40 }, (_, index) => `Line ${index}. `), loop: true, contextLength: 8192 })
})
afterAll(async () => {
  await model.remove()
  redis.disconnect()
})

interface WorkerProcess {
  readonly child: ChildProcess
  readonly messages: { type: string }[]
  readonly exited: Promise<number | string | null>
  log(): string
}

const processes: WorkerProcess[] = []
afterEach(async () => {
  for (const { child, exited } of processes.splice(0)) {
    child.kill('SIGKILL')
    await exited
  }
})

function spawnWorker(environment: Record<string, string> = {}): WorkerProcess {
  const { d: _, ...publicKey } = key
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...process.env,
      REDIS_URL: inject('redisUrl'),
      PHIGATE_MODEL: model.folder,
      PHIGATE_GRANT_PUBLIC_KEY: JSON.stringify(publicKey),
      PHIGATE_SLOTS: '2',
      PHIGATE_LEASE_MS: '1500',
      PHIGATE_DRAIN_MS: '500',
      ...environment,
    },
  })
  let log = ''
  child.stdout?.on('data', (chunk: Buffer) => void (log += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => void (log += chunk.toString()))
  const messages: { type: string }[] = []
  child.on('message', (message) => messages.push(message as { type: string }))
  const exited = new Promise<number | string | null>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)))
  const started = { child, messages, exited, log: () => log }
  processes.push(started)
  return started
}

async function startWorker(environment?: Record<string, string>): Promise<WorkerProcess> {
  const worker = spawnWorker(environment)
  await until(() => worker.messages, (messages) => messages.some(({ type }) => type === 'ready') || worker.child.exitCode !== null)
  if (worker.child.exitCode !== null) throw new Error(`The worker ended.\n${worker.log()}`)
  return worker
}

async function submit(request: Partial<GenerationRequest> = {}): Promise<Job> {
  const job = await grantJob(makeJob(modelId, request), key, model.manifest.weightsDigest)
  await enqueue(redis, job)
  return job
}

const linesOf = (tokens: number): string => Array.from({ length: tokens }, (_, index) => `Line ${index % 40}. `).join('')
const generating = (job: Job) => until(() => readEvents(redis, job.id), (events) => events.some(({ type }) => type === 'delta'))

test('kill -9 in mid-sentence: the next worker ends the job exactly once and serves the next one', async () => {
  const first = await startWorker()
  const { weightsDigest } = model.manifest
  expect(first.messages).toContainEqual({ type: 'ready', model: modelId, weightsDigest })
  const interrupted = await submit({ maxTokens: null })
  await generating(interrupted)
  first.child.kill('SIGKILL')
  expect(await first.exited).toBe('SIGKILL')

  const second = await startWorker()
  const events = await eventsUntilEnd(redis, interrupted.id)
  expect(events.at(-1)).toMatchObject({ type: 'error', code: 'worker_lost' })
  expect(events.filter(({ type }) => isTerminal(type))).toHaveLength(1)
  const next = await submit({ maxTokens: 3 })
  expect(textOf(await eventsUntilEnd(redis, next.id))).toBe('Line 0. Line 1. Line 2. ')
  await until(() => redis.xlen(jobsKey(modelId, 'interactive')), (length) => length === 0)
  await until(async () => ((await redis.xpending(jobsKey(modelId, 'interactive'), workerGroup)) as unknown[])[0], (count) => count === 0)
  expect(second.log()).toContain('"msg":"ready"')
  expect(second.log()).not.toContain('Line 0')
})

test('SIGTERM: short jobs end, the others are told, jobs that wait go to the next worker, exit code 0', async () => {
  const worker = await startWorker()
  const long = await Promise.all([submit({ maxTokens: null }), submit({ maxTokens: null })])
  await Promise.all(long.map(generating))
  const waiting = await submit({ maxTokens: 2 })
  await until(() => readEvents(redis, waiting.id), (events) => events.length > 0)
  worker.child.kill('SIGTERM')
  expect(await worker.exited).toBe(0)
  for (const job of long) {
    const events = await readEvents(redis, job.id)
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'worker_lost' })
  }
  expect((await readEvents(redis, waiting.id)).map(({ type }) => type)).toEqual(['accepted'])
  expect(await redis.ttl(modelKey(modelId))).toBeLessThanOrEqual(15)

  // A lease that nobody could wait for: the job must have been given up.
  await startWorker({ PHIGATE_LEASE_MS: '600000' })
  const events = await eventsUntilEnd(redis, waiting.id)
  expect(textOf(events)).toBe('Line 0. Line 1. ')
  expect(events.at(-1)).toEqual({ type: 'done', finishReason: 'length' })
})

test('a worker that was frozen past its lease can write nothing more when it wakes', async () => {
  const frozen = await startWorker({ PHIGATE_LEASE_MS: '600' })
  const job = await submit({ maxTokens: null })
  await generating(job)
  frozen.child.kill('SIGSTOP')
  const other = await startWorker({ PHIGATE_LEASE_MS: '600' })
  const events = await eventsUntilEnd(redis, job.id)
  expect(events.at(-1)).toMatchObject({ type: 'error', code: 'worker_lost' })
  frozen.child.kill('SIGCONT')
  await until(frozen.log, (log) => log.includes('another worker has this job now'))
  expect(await readEvents(redis, job.id)).toEqual(events)
  expect(other.log()).toContain('Took over a job')
})

test('connections that are cut in mid-sentence cost the text nothing', async () => {
  const worker = await startWorker()
  const name = /worker_\w+/.exec(worker.log())![0]
  const tokens = 2000
  const job = await submit({ maxTokens: tokens })
  let cuts = 0
  const ended = eventsUntilEnd(redis, job.id)
  for (let open = true; open; ) {
    const lines = ((await redis.client('LIST')) as string).split('\n').filter((line) => line.includes(`name=${name}`))
    for (const line of lines) cuts += Number(await redis.client('KILL', 'ID', Number(/id=(\d+)/.exec(line)![1])))
    open = await Promise.race([ended.then(() => false), delay(20, true)])
  }
  expect(cuts).toBeGreaterThan(2)
  const events = await ended
  expect(textOf(events)).toBe(linesOf(tokens))
  expect(events.at(-1)).toEqual({ type: 'done', finishReason: 'length' })
})

test('a Redis that is killed and comes back costs the text nothing', async () => {
  const own = await startOwnRedis()
  const client = new Redis(own.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
  client.on('error', () => undefined)
  try {
    const worker = await startWorker({ REDIS_URL: own.url })
    const job = await grantJob(makeJob(modelId, { maxTokens: 8000 }), key, model.manifest.weightsDigest)
    await enqueue(client, job)
    await until(() => readEvents(client, job.id), (events) => events.some(({ type }) => type === 'delta'))
    await own.kill()
    const events = await eventsUntilEnd(client, job.id)
    expect(textOf(events)).toBe(linesOf(8000))
    expect(events.at(-1)).toEqual({ type: 'done', finishReason: 'length' })
    expect(worker.log()).toContain('Redis answers again')
  } finally {
    client.disconnect()
    await own.stop()
  }
})

test('it ends with its parent', async () => {
  const worker = await startWorker()
  worker.child.disconnect()
  expect(await worker.exited).toBe(0)
})

test('without Redis it waits and says so, and can be stopped', async () => {
  const worker = spawnWorker({ REDIS_URL: 'redis://127.0.0.1:1' })
  await until(worker.log, (log) => log.includes('Redis can not be reached'))
  expect(worker.messages).not.toContainEqual(expect.objectContaining({ type: 'ready' }))
  worker.child.kill('SIGTERM')
  expect(await worker.exited).toBe(0)
})

test.each([
  ['an unknown model', { PHIGATE_MODEL: 'no-such-model' }, 'no-such-model'],
  ['no grant key', { PHIGATE_GRANT_PUBLIC_KEY: '' }, 'PHIGATE_GRANT_PUBLIC_KEY'],
])('it does not start with %s, and says why', async (_name, environment, reason) => {
  const worker = spawnWorker(environment)
  expect(await worker.exited).toBe(1)
  expect(worker.log()).toContain(reason)
})
