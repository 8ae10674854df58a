/**
 * The jobs streams of one model as one consumer of their group sees them: read new entries, claim those of dead workers,
 * keep and give up leases, remove what has ended. Nothing here knows how many jobs a worker wants or what they are.
 */
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { jobClasses } from '../../shared/job.ts'
import type { JobClass } from '../../shared/job.ts'
import { jobsKey, workerGroup } from '../../shared/redis-keys.ts'
import { entrySchema } from './job-entry.ts'
import type { Entry } from './job-entry.ts'
import { persist } from './redis-connection.ts'
import type { QueueScripts } from './scripts.ts'

export interface Delivery {
  readonly jobClass: JobClass
  readonly entry: Entry
}

/** A place in one of the streams. */
export interface EntryPlace {
  readonly jobClass: JobClass
  readonly id: string
}

export interface JobStreams {
  /** Up to `count` entries that no consumer has had. Does not wait. */
  readNew(jobClass: JobClass, count: number): Promise<readonly Delivery[]>
  /** Waits up to `blockMs` for a new entry of any class, and takes one. */
  waitForNew(blockMs: number): Promise<readonly Delivery[]>
  /** Up to `count` entries whose lease was not renewed for `lapseMs`. */
  claimLapsed(jobClass: JobClass, count: number, lapseMs: number): Promise<readonly Delivery[]>
  /** Makes streams and groups that are not there: on an empty or wiped Redis. */
  createGroups(): Promise<void>
  /** Renews the leases of those entries; returns the ones whose lease another worker has. */
  renew(places: readonly EntryPlace[]): Promise<readonly EntryPlace[]>
  /** Makes all that is pending for this consumer claimable at once. */
  giveUpAll(): Promise<void>
  remove(place: EntryPlace): Promise<void>
  /** Deletes consumers that hold nothing and were silent for so long; returns their names. */
  deleteIdleConsumers(silentMs: number): Promise<readonly string[]>
}

export interface JobStreamsOptions {
  /** For commands; not blocked by reads. */
  readonly redis: Redis
  /** For blocking reads alone. */
  readonly reader: Redis
  readonly scripts: QueueScripts
  readonly model: string
  readonly consumer: string
}

/** An age that no lease setting reaches. */
const givenUpMs = 24 * 60 * 60 * 1000

const readReplySchema = z.array(z.tuple([z.string(), z.array(entrySchema)])).nullable()
const claimReplySchema = z.tuple([z.string(), z.array(entrySchema)]).rest(z.unknown())
const pendingReplySchema = z.array(z.tuple([z.string()]).rest(z.unknown()))

/** Whether a command failed because a stream or its group is not there. */
export function isGroupMissing(error: unknown): boolean {
  return error instanceof Error && /^(NOGROUP|UNBLOCKED)/.test(error.message)
}

export function createJobStreams({ redis, reader, scripts, model, consumer }: JobStreamsOptions): JobStreams {
  const classOfKey = new Map(jobClasses.map((jobClass) => [jobsKey(model, jobClass), jobClass]))

  function deliveries(reply: unknown): Delivery[] {
    return (readReplySchema.parse(reply) ?? []).flatMap(([key, entries]) => {
      const jobClass = classOfKey.get(key)
      return jobClass === undefined ? [] : entries.map((entry) => ({ jobClass, entry }))
    })
  }

  return {
    async readNew(jobClass, count) {
      const key = jobsKey(model, jobClass)
      return deliveries(await reader.xreadgroup('GROUP', workerGroup, consumer, 'COUNT', count, 'STREAMS', key, '>'))
    },

    async waitForNew(blockMs) {
      const keys = [...classOfKey.keys()]
      const newOnes = keys.map(() => '>')
      return deliveries(await reader.xreadgroup('GROUP', workerGroup, consumer, 'COUNT', 1, 'BLOCK', blockMs, 'STREAMS', ...keys, ...newOnes))
    },

    async claimLapsed(jobClass, count, lapseMs) {
      const key = jobsKey(model, jobClass)
      const [, entries] = claimReplySchema.parse(await reader.xautoclaim(key, workerGroup, consumer, lapseMs, '0-0', 'COUNT', count))
      return entries.map((entry) => ({ jobClass, entry }))
    },

    async createGroups() {
      for (const [key] of classOfKey) {
        try {
          // From its start: jobs that were queued before any worker came are for us too.
          await redis.xgroup('CREATE', key, workerGroup, '0', 'MKSTREAM')
        } catch (error) {
          if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error
        }
      }
    },

    async renew(places) {
      const lost: EntryPlace[] = []
      for (const jobClass of jobClasses) {
        const ids = places.filter((place) => place.jobClass === jobClass).map(({ id }) => id)
        if (ids.length === 0) continue
        lost.push(...(await scripts.setLeaseAge(model, jobClass, consumer, 0, ids)).map((id) => ({ jobClass, id })))
      }
      return lost
    },

    async giveUpAll() {
      for (const [key, jobClass] of classOfKey) {
        // Asked of Redis: it may have handed out entries in a reply that never arrived.
        const pending = pendingReplySchema.parse(await redis.xpending(key, workerGroup, '-', '+', 1000, consumer))
        if (pending.length > 0) await scripts.setLeaseAge(model, jobClass, consumer, givenUpMs, pending.map(([id]) => id))
      }
    },

    async remove({ jobClass, id }) {
      const key = jobsKey(model, jobClass)
      // In this order: XAUTOCLAIM clears up an entry that is deleted but pending; one that is not pending but still
      // there would stay for ever.
      await persist(() => redis.xdel(key, id))
      await persist(() => redis.xack(key, workerGroup, id))
    },

    async deleteIdleConsumers(silentMs) {
      const names = await Promise.all(jobClasses.map((jobClass) => scripts.deleteIdleConsumers(model, jobClass, silentMs)))
      return [...new Set(names.flat())]
    },
  }
}
