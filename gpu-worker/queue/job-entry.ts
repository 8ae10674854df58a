/**
 * An entry of a jobs stream, as Redis replies it, read into a job. Whoever can write to Redis can write anything there,
 * so an entry that is not a job is an ordinary value here and not an exception.
 */
import { z } from 'zod'
import { jobSchema } from '../../shared/job.ts'
import type { Job } from '../../shared/job.ts'

export const entrySchema = z.tuple([z.string(), z.array(z.string())])
/** Id and flat list of field names and values. */
export type Entry = z.infer<typeof entrySchema>

export type ReadJob =
  | { readonly type: 'job'; readonly job: Job }
  /** `problem` names fields and types, never values. `jobId` is there when at least that could be read. */
  | { readonly type: 'malformed'; readonly jobId: string | undefined; readonly problem: string }

export function readJob([, fields]: Entry): ReadJob {
  const at = fields.indexOf('job')
  const text = at % 2 === 0 ? fields[at + 1] : undefined
  if (text === undefined) return { type: 'malformed', jobId: undefined, problem: 'it has no field "job"' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { type: 'malformed', jobId: undefined, problem: 'its field "job" is not JSON' }
  }
  const parsed = jobSchema.safeParse(value)
  if (parsed.success) return { type: 'job', job: parsed.data }
  const problem = parsed.error.issues.map(({ path, code }) => `${path.join('.') || 'job'}: ${code}`).join('; ')
  return { type: 'malformed', jobId: jobSchema.pick({ id: true }).safeParse(value).data?.id, problem }
}
