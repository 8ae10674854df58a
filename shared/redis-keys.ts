/**
 * The name of every Redis key. The part in literal braces is a hash tag: all keys that one script touches share it, so
 * that they live in one slot of a Redis Cluster.
 */
import type { JobClass } from './job.ts'

/** Stream of waiting and running jobs; entry field `job` holds the JSON. Deleted entry = finished job. */
export function jobsKey(model: string, jobClass: JobClass): string {
  return `jobs:{${model}}:${jobClass}`
}

/** String that marks a job as queued, so that submitting it again changes nothing; in one slot with `jobsKey`. */
export function submittedKey(model: string, jobId: string): string {
  return `submitted:{${model}}:${jobId}`
}

/** How long a job can not be queued twice: far beyond the time in which anyone tries again to submit it. */
export const submittedTtlSeconds = 120

/** The consumer group of every jobs stream. */
export const workerGroup = 'workers'

/** Stream of a job's events; expires after `resultTtlSeconds`. */
export function resultKey(jobId: string): string {
  return `res:{${jobId}}`
}

/** Hash of a job's progress: `attempt` (fencing token), `deltas` (count), `terminal` (type of the terminal event). */
export function jobStateKey(jobId: string): string {
  return `job:{${jobId}}`
}

/** String with the reason; its existence asks the worker to stop. */
export function cancelKey(jobId: string): string {
  return `cancel:{${jobId}}`
}

/** Stream that a hub shard writes to in order to interrupt its own blocked read. */
export function wakeKey(shard: string): string {
  return `wake:{${shard}}`
}

/** Set of the ids of models that workers have registered; their registrations expire on their own. */
export const modelsKey = 'models'

/** JSON of a model's registration (model-registration.ts), renewed by every worker that serves it. */
export function modelKey(model: string): string {
  return `model:{${model}}`
}

/** How long results, job states and cancel marks outlive their last write. */
export const resultTtlSeconds = 600

/** How long a model stays listed after the last worker that serves it was heard. */
export const modelTtlSeconds = 60
