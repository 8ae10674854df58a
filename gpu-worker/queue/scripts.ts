/**
 * The queue's atomic steps: one Lua script each (scripts/*.lua, whose heads document keys and arguments), called here with
 * types. A script is loaded with its first call on a connection, and again when Redis has forgotten it.
 */
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { cancelKey, jobStateKey, jobsKey, resultKey, resultTtlSeconds, workerGroup } from '../../shared/redis-keys.ts'
import type { JobClass } from '../../shared/job.ts'
import { encodeEventData } from '../../shared/stream-events.ts'
import type { StreamEvent } from '../../shared/stream-events.ts'

export interface AttemptStart {
  /** Fencing token of this attempt; 0 when the job has ended. */
  readonly attempt: number
  /** Deltas that earlier attempts wrote. */
  readonly deltas: number
  /** Whether the job has its terminal event. */
  readonly ended: boolean
  readonly cancelReason: string | null
}

export interface AppendResult {
  /** `fenced`: another attempt has the job. `finished`: it has its terminal event. Nothing was written in both cases. */
  readonly outcome: 'written' | 'fenced' | 'finished'
  readonly cancelReason: string | null
}

export interface QueueScripts {
  /** @param ttlSeconds how long results and state must live if nothing more is written. */
  startAttempt(jobId: string, ttlSeconds: number): Promise<AttemptStart>
  /** @param number of this append within the attempt, from 1: a repeated number is written once. */
  appendEvents(jobId: string, attempt: number, number: number, ttlSeconds: number, events: readonly StreamEvent[]): Promise<AppendResult>
  /** Sets the age of the leases that the consumer holds; returns the ids of those it holds no more. */
  setLeaseAge(model: string, jobClass: JobClass, consumer: string, ageMs: number, entryIds: readonly string[]): Promise<readonly string[]>
  /** Deletes consumers without entries that were silent for so long; returns their names. */
  deleteIdleConsumers(model: string, jobClass: JobClass, idleMs: number): Promise<readonly string[]>
}

const attemptStartSchema = z.tuple([z.int(), z.int(), z.string().nullable(), z.string().nullable()])
const appendResultSchema = z.tuple([z.enum(['written', 'fenced', 'finished']), z.string().nullable()])
const namesSchema = z.array(z.string())

/** Calls the script of that name (verb and number of keys) with its keys and arguments. */
type ScriptCall = (...keysAndArguments: (string | number)[]) => Promise<unknown>

export function createQueueScripts(redis: Redis): QueueScripts {
  const define = (name: string): ScriptCall => {
    const lua = readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8')
    redis.defineCommand(name, { lua, numberOfKeys: Number(name.slice(name.lastIndexOf('-') + 1)) })
    const call = (redis as unknown as Record<string, ScriptCall>)[name]
    if (call === undefined) throw new Error(`The script ${name} could not be defined.`)
    return call.bind(redis)
  }
  const startAttempt = define('start-attempt-3')
  const appendEvents = define('append-events-3')
  const setLeaseAge = define('set-lease-age-1')
  const deleteIdleConsumers = define('delete-idle-consumers-1')
  const keysOf = (jobId: string): [string, string, string] => [resultKey(jobId), jobStateKey(jobId), cancelKey(jobId)]

  return {
    async startAttempt(jobId, ttlSeconds) {
      const reply = await startAttempt(...keysOf(jobId), ttlSeconds)
      const [attempt, deltas, terminal, cancelReason] = attemptStartSchema.parse(reply)
      return { attempt, deltas, ended: terminal !== null, cancelReason }
    },
    async appendEvents(jobId, attempt, number, ttlSeconds, events) {
      const fields = events.flatMap((event) => [event.type, encodeEventData(event)])
      const reply = await appendEvents(...keysOf(jobId), attempt, number, ttlSeconds, resultTtlSeconds, ...fields)
      const [outcome, cancelReason] = appendResultSchema.parse(reply)
      return { outcome, cancelReason }
    },
    async setLeaseAge(model, jobClass, consumer, ageMs, entryIds) {
      return namesSchema.parse(await setLeaseAge(jobsKey(model, jobClass), workerGroup, consumer, ageMs, ...entryIds))
    },
    async deleteIdleConsumers(model, jobClass, idleMs) {
      return namesSchema.parse(await deleteIdleConsumers(jobsKey(model, jobClass), workerGroup, idleMs))
    },
  }
}
