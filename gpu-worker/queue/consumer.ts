/**
 * Takes jobs from the queue, as many as fit and no more, so that the rest stays for other workers. While a job runs its
 * entry stays in the consumer group's pending list, and renewing it there is the worker's lease; a lease that lapses is
 * claimed by another worker. An entry leaves the stream only after its job has a terminal event, so a worker may die at
 * any line of this file and the job is still ended exactly once.
 *
 * What running a job means is not known here, and neither is what became of it except whether it has ended.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { jobClasses } from '../../shared/job.ts'
import type { Job } from '../../shared/job.ts'
import { resultTtlSeconds } from '../../shared/redis-keys.ts'
import { errorEvent } from '../../shared/stream-events.ts'
import { readJob } from './job-entry.ts'
import type { Entry } from './job-entry.ts'
import { createJobStreams, isGroupMissing } from './job-streams.ts'
import type { Delivery, EntryPlace } from './job-streams.ts'
import { closeRedis, persist } from './redis-connection.ts'
import type { QueueScripts } from './scripts.ts'

export interface LeaseSettings {
  /** How often leases are renewed. */
  readonly renewMs: number
  /** How long after its last renewal a job may be claimed by another worker. */
  readonly lapseMs: number
  /** How often a worker with room looks for lapsed leases. */
  readonly reclaimMs: number
  /** How long a consumer without jobs must be silent before it is deleted. */
  readonly forgetMs: number
}

/** `ended`: the job has its terminal event. `left`: another worker has it or shall have it. */
export type JobOutcome = 'ended' | 'left'

/** Why a job's signal aborts: another worker has its lease, or this worker stops. */
export type Interruption = 'lease-lost' | 'worker-stopping'

export interface ConsumerOptions {
  /** For commands; not blocked by reads. */
  readonly redis: Redis
  /** For blocking reads alone, made by `connectToRedis`; the consumer closes it when it stops. */
  readonly reader: Redis
  readonly scripts: QueueScripts
  readonly model: string
  /** Name in the consumer group, unique among all workers. */
  readonly consumer: string
  /** Jobs to hold at most, running and waiting for a slot. */
  readonly capacity: number
  readonly lease: LeaseSettings
  /**
   * Runs a job to its end; the signal's reason is an `Interruption`. A rejection means that not even an error event
   * could be written.
   */
  readonly run: (job: Job, signal: AbortSignal) => Promise<JobOutcome>
  readonly log: Logger
}

export interface Consumer {
  /**
   * Takes no more jobs, lets those that run end for up to `drainMs`, interrupts the rest with `worker-stopping` and
   * gives up the leases of those that were left, so that another worker can take them at once.
   */
  stop(drainMs: number): Promise<void>
}

interface Held extends EntryPlace {
  readonly controller: AbortController
  readonly settled: Promise<void>
}

/** Entries of two streams may have the same id. */
const nameOf = ({ jobClass, id }: EntryPlace): string => `${jobClass}/${id}`

const blockMs = 1000
const pauseAfterErrorMs = 500

export function startConsumer(options: ConsumerOptions): Consumer {
  const { reader, scripts, capacity, lease, run, log } = options
  const streams = createJobStreams(options)
  const held = new Map<string, Held>()
  const taking = new AbortController()
  const renewing = new AbortController()
  let roomMade = Promise.withResolvers<void>()
  let nextReclaim = 0
  let nextForget = Date.now() + lease.forgetMs

  const room = (): number => capacity - held.size

  // While Redis was away nobody could renew: all get the time to do so before their jobs may be claimed.
  let connectedBefore = reader.status === 'ready'
  reader.on('ready', () => {
    if (connectedBefore) nextReclaim = Date.now() + lease.lapseMs
    connectedBefore = true
  })

  async function takeJobs(): Promise<void> {
    while (!taking.signal.aborted) {
      try {
        if (room() <= 0) await roomMade.promise
        else if (Date.now() >= nextReclaim) await reclaim()
        else await takeNew()
      } catch (error) {
        if (!taking.signal.aborted) await recover(error)
      }
    }
  }

  /** Each reply is acted on before the next read, which may fail. */
  async function takeNew(): Promise<void> {
    let found = 0
    for (const jobClass of jobClasses) {
      if (room() <= 0) return
      const deliveries = await streams.readNew(jobClass, room())
      for (const delivery of deliveries) hold(delivery)
      found += deliveries.length
    }
    if (found === 0) for (const delivery of await streams.waitForNew(blockMs)) hold(delivery)
  }

  async function recover(error: unknown): Promise<void> {
    try {
      if (!isGroupMissing(error)) throw error
      await streams.createGroups()
    } catch (cause) {
      log.warn({ err: cause }, 'Reading the queue failed; trying again')
      await delay(pauseAfterErrorMs)
    }
  }

  async function reclaim(): Promise<void> {
    for (const jobClass of jobClasses) {
      if (room() <= 0) break
      for (const delivery of await streams.claimLapsed(jobClass, room(), lease.lapseMs)) {
        // Our own, when this process was too busy to renew: it still runs.
        if (held.has(nameOf({ jobClass, id: delivery.entry[0] }))) continue
        log.warn({ entry: delivery.entry[0], class: jobClass }, 'Took over a job whose worker was not heard of')
        hold(delivery)
      }
    }
    if (Date.now() >= nextForget) {
      const consumers = await streams.deleteIdleConsumers(lease.forgetMs)
      if (consumers.length > 0) log.info({ consumers }, 'Deleted consumers of workers that are gone')
      nextForget = Date.now() + lease.forgetMs
    }
    nextReclaim = Date.now() + lease.reclaimMs
  }

  function hold(delivery: Delivery): void {
    const place = { jobClass: delivery.jobClass, id: delivery.entry[0] }
    const controller = new AbortController()
    const settled = settle(place, delivery.entry, controller.signal).finally(() => {
      held.delete(nameOf(place))
      roomMade.resolve()
      roomMade = Promise.withResolvers()
    })
    held.set(nameOf(place), { ...place, controller, settled })
  }

  async function settle(place: EntryPlace, entry: Entry, signal: AbortSignal): Promise<void> {
    try {
      const read = readJob(entry)
      const outcome = read.type === 'job' ? await run(read.job, signal) : await refuse(place, read.jobId, read.problem)
      if (outcome === 'left') return
    } catch (error) {
      if (signal.aborted) return
      // Nobody can be told about this job, and running it again would end here again.
      log.error({ err: error, ...place }, 'A job was dropped: its results can not be written')
    }
    await streams.remove(place).catch((error: unknown) => log.warn({ err: error, ...place }, 'A job that ended could not be removed'))
  }

  async function refuse(place: EntryPlace, jobId: string | undefined, problem: string): Promise<JobOutcome> {
    log.error({ ...place, job: jobId, problem }, 'An entry of the queue is not a job')
    if (jobId === undefined) return 'ended'
    const { attempt, ended } = await persist(() => scripts.startAttempt(jobId, resultTtlSeconds))
    const event = errorEvent('internal_error', 'The worker could not read this job.')
    if (!ended) await persist(() => scripts.appendEvents(jobId, attempt, 1, resultTtlSeconds, [event]))
    return 'ended'
  }

  async function keepLeases(): Promise<void> {
    while (!renewing.signal.aborted) {
      await delay(lease.renewMs, undefined, { signal: renewing.signal }).catch(() => undefined)
      try {
        const lost = await streams.renew([...held.values()])
        for (const place of lost) held.get(nameOf(place))?.controller.abort('lease-lost' satisfies Interruption)
      } catch (error) {
        log.warn({ err: error }, 'Leases could not be renewed')
      }
    }
  }

  const taken = takeJobs()
  const kept = keepLeases()
  return {
    async stop(drainMs) {
      taking.abort()
      closeRedis(reader)
      roomMade.resolve()
      await taken
      const all = Promise.all([...held.values()].map(({ settled }) => settled))
      const drained = new AbortController()
      await Promise.race([all, delay(drainMs, undefined, { signal: drained.signal }).catch(() => undefined)])
      drained.abort()
      for (const { controller } of held.values()) controller.abort('worker-stopping' satisfies Interruption)
      await all
      renewing.abort()
      await kept
      await streams.giveUpAll().catch((error: unknown) => log.warn({ err: error }, 'Leases could not be given up; they will lapse'))
    },
  }
}
