/**
 * The core of the token bus, the same in the hub Durable Object and in Node: it queues jobs, follows their results,
 * cancels jobs, and lists models, over one connection for commands and one for the blocking reader. Results leave it as
 * lines of bytes (result-entries.ts); it parses no event and no job.
 */
import * as z from 'zod'
import type { JobClass } from '../../shared/job.ts'
import { modelRegistrationSchema } from '../../shared/model-registration.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { cancelKey, jobsKey, modelKey, modelsKey, resultTtlSeconds, submittedKey, submittedTtlSeconds } from '../../shared/redis-keys.ts'
import type { Connect } from './byte-connection.ts'
import { queueUnavailable } from './entry-lines.ts'
import type { RedisAddress } from './redis-address.ts'
import { RedisError, createRedisConnection } from './redis-connection.ts'
import { replyValue } from './resp.ts'
import type { RespValue } from './resp.ts'
import { createResultReader } from './result-reader.ts'
import { commandWithRetries, sleep } from './retry.ts'

export interface HubSettings {
  /** For opening a connection, and for the reply to one command. */
  readonly attemptMs: number
  /** For one operation, attempts after a broken connection included; the last attempt may still run its course. */
  readonly operationMs: number
  /** How long Redis may stay away before streams fail, and how long a cancellation is tried. */
  readonly unreachableMs: number
  /** Time limit of the blocking read: how long a broken wake-up can delay a new stream. */
  readonly blockMs: number
  /** Per stream and read. */
  readonly entriesPerRead: number
  /** A client that has more than this unread is left out of reads. */
  readonly bufferBytes: number
}

export const defaultHubSettings: HubSettings = {
  attemptMs: 3_000,
  operationMs: 3_000,
  unreachableMs: 15_000,
  blockMs: 2_000,
  entriesPerRead: 64,
  bufferBytes: 64 * 1024,
}

export interface HubCoreOptions {
  readonly connect: Connect
  readonly address: Pick<RedisAddress, 'username' | 'password' | 'database'>
  /** Names the wake stream and the connections (`phigate-hub:{shard}:commands` and `:reader`). */
  readonly shard: string
  readonly settings?: Partial<HubSettings>
}

/** What the hub needs to know of a job; `text` is its JSON. */
export interface QueuedJob {
  readonly id: string
  readonly model: string
  readonly class: JobClass
  readonly text: string
}

export interface HubCore {
  /** See `TokenBus.submit`; the stream carries lines instead of entries. */
  submit(job: QueuedJob, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>
  /** See `TokenBus`. */
  cancel(jobId: string, reason: string): Promise<void>
  models(): Promise<readonly ModelRegistration[]>
  ping(): Promise<void>
  /** Fails what is under way with `queue_unavailable` and closes both connections. Jobs are not cancelled. */
  close(): void
}

/**
 * Queues a job once, however often it runs, so that a submission whose reply was lost can be tried again.
 * KEYS[1] stream of jobs, KEYS[2] mark of this job; ARGV[1] the job, ARGV[2] life of the mark in seconds.
 * The entry comes first: should it be refused, no mark is left.
 */
const submitOnce = `
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('XADD', KEYS[1], '*', 'job', ARGV[1])
  redis.call('SET', KEYS[2], '1', 'EX', ARGV[2])
end
return 1`

const modelsCacheMs = 1_000

export function createHubCore({ connect, address, shard, settings: given = {} }: HubCoreOptions): HubCore {
  const settings = { ...defaultHubSettings, ...given }
  const { attemptMs, operationMs, unreachableMs } = settings
  const open = (purpose: string) =>
    createRedisConnection({ connect, address, name: `phigate-hub:${shard}:${purpose}`, connectTimeoutMs: attemptMs })
  const commands = open('commands')
  const reader = open('reader')
  const results = createResultReader({ ...settings, reader, commands, shard })
  let latestModels: { readonly startedAt: number; readonly models: Promise<readonly ModelRegistration[]> } | undefined

  async function ask(args: readonly string[], totalMs = operationMs): Promise<RespValue> {
    try {
      return replyValue(await commandWithRetries(commands, args, { attemptMs, totalMs }))
    } catch (error) {
      throw queueUnavailable(error)
    }
  }

  async function markCancelled(jobId: string, reason: string, totalMs: number): Promise<void> {
    await ask(['SET', cancelKey(jobId), reason, 'EX', String(resultTtlSeconds)], totalMs)
  }

  /** For jobs whose client is gone: nobody is left to hear that it failed. Never rejects. */
  function cancelInBackground(jobId: string, reason: string): Promise<void> {
    return markCancelled(jobId, reason, unreachableMs).catch(() => {})
  }

  async function readModels(): Promise<readonly ModelRegistration[]> {
    const ids = z.array(z.string()).parse(await ask(['SMEMBERS', modelsKey]))
    // One GET each, in one write: the keys live in different slots of a cluster, which MGET refuses.
    const texts = z.array(z.string().nullable()).parse(await Promise.all(ids.map((id) => ask(['GET', modelKey(id)]))))
    const expired = ids.filter((_, index) => texts[index] === null)
    // A worker that still serves one adds it again with its next registration.
    if (expired.length > 0) ask(['SREM', modelsKey, ...expired]).catch(() => {})
    return texts.flatMap((text) => readRegistration(text) ?? []).toSorted((a, b) => b.startedAt - a.startedAt)
  }

  return {
    async submit(job, signal) {
      signal.throwIfAborted()
      const followed = results.follow(job.id, (why) => {
        signal.removeEventListener('abort', onAbort)
        if (why !== 'terminal') void cancelInBackground(job.id, why)
      })
      const onAbort = (): void => {
        if (followed.abort(signal.reason)) void cancelInBackground(job.id, 'client_disconnected')
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const [jobs, mark] = [jobsKey(job.model, job.class), submittedKey(job.model, job.id)]
      try {
        await commandWithRetries(commands, ['EVAL', submitOnce, '2', jobs, mark, job.text, String(submittedTtlSeconds)], { attemptMs, totalMs: operationMs })
      } catch (error) {
        signal.removeEventListener('abort', onAbort)
        followed.abort(error)
        if (error instanceof RedisError && error.failure === 'lost') {
          // Redis may hold the job. The client is told once that is undone, or when it has waited long enough for that.
          await Promise.race([cancelInBackground(job.id, 'queue_unavailable'), sleep(operationMs)])
        }
        throw queueUnavailable(error)
      }
      signal.throwIfAborted()
      return followed.stream
    },
    cancel: (jobId, reason) => markCancelled(jobId, reason, operationMs),
    models() {
      if (latestModels === undefined || Date.now() - latestModels.startedAt >= modelsCacheMs) {
        const models = readModels()
        const current = { startedAt: Date.now(), models }
        latestModels = current
        models.catch(() => {
          if (latestModels === current) latestModels = undefined
        })
      }
      return latestModels.models
    },
    async ping() {
      await ask(['PING'])
    },
    close() {
      results.close()
      commands.close()
      reader.close()
    },
  }
}

/** What a foreign writer left under a model's key is not a model that a worker serves. */
function readRegistration(text: string | null): ModelRegistration | undefined {
  try {
    return modelRegistrationSchema.parse(JSON.parse(text ?? 'null'))
  } catch {
    return undefined
  }
}
