/**
 * The token bus: all that the edge asks of Redis. A job goes in, its events come out in order, each exactly once. The
 * hub Durable Object implements it for the deployed gateway, and the same core runs over node:net for Node. It moves
 * entries and does not look into them: no moderation, no OpenAI format, no HTTP status.
 */
import type { Job } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { StreamEntry } from '../../shared/stream-events.ts'

export interface TokenBus {
  /**
   * Appends the job to its queue and follows its results. Resolves once Redis holds the job; throws `queue_unavailable`
   * when it can not be reached in time, and then the job is not queued or is cancelled.
   *
   * Each chunk holds all entries that had arrived; the stream closes after the terminal one. Cancelling it, or aborting
   * the signal, before that cancels the job. It errors with `queue_unavailable` when Redis stays away for too long.
   */
  submit(job: Job, signal: AbortSignal): Promise<ReadableStream<readonly StreamEntry[]>>
  /** Asks whichever worker holds the job to stop. Idempotent; harmless when the job has ended. */
  cancel(jobId: string, reason: string): Promise<void>
  /** Registrations that have not expired, the most recently started worker's first. */
  models(): Promise<readonly ModelRegistration[]>
  /** Resolves when Redis answers; throws `queue_unavailable` when it does not. */
  ping(): Promise<void>
}
