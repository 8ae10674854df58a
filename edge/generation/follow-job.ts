/**
 * Reads one job's events for as long as somebody waits for them. The wait ends with the terminal event, when the
 * client goes away, or when the deadline has passed; in the last two cases the bus stream is cancelled, which cancels
 * the job.
 */
import { apiError } from '../../shared/errors.ts'
import type { ApiError } from '../../shared/errors.ts'
import { isTerminal } from '../../shared/stream-events.ts'
import type { StreamEntry } from '../../shared/stream-events.ts'

/** setTimeout's limit, 24 days: far beyond any deadline. */
const longestTimerMs = 2 ** 31 - 1

/** A worker that keeps its deadline says so itself; this much later the edge says it in its place. */
const deadlineGraceMs = 3_000

export interface JobFollower {
  /**
   * The next entries, or `silence` when none came within the time given. After the terminal entry there is nothing to
   * ask for. Throws `cancelled`, `deadline_exceeded`, and `queue_unavailable` when the stream broke off.
   */
  next(withinMs?: number): Promise<readonly StreamEntry[] | 'silence'>
  /** Nobody waits any more: cancels the job unless it has ended. Idempotent. */
  stop(): void
}

export interface FollowOptions {
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
  /** Unix milliseconds. */
  readonly deadline: number
  readonly now: () => number
}

export function followJob(stream: ReadableStream<readonly StreamEntry[]>, options: FollowOptions): JobFollower {
  const reader = stream.getReader()
  let reading: Promise<Awaited<ReturnType<typeof reader.read>>> | undefined
  let interruption: ApiError | undefined
  let rejectWaiting: ((error: ApiError) => void) | undefined
  let released = false

  const release = (): void => {
    released = true
    clearTimeout(deadlineTimer)
    options.signal.removeEventListener('abort', onAbort)
  }
  const interrupt = (error: ApiError): void => {
    if (released) return
    release()
    interruption = error
    // The bus may have failed already; the job's lease then ends it.
    reader.cancel(error.code).catch(() => undefined)
    rejectWaiting?.(error)
  }
  const onAbort = (): void => interrupt(apiError('cancelled', 'The client closed the request.'))
  const onDeadline = (): void => interrupt(apiError('deadline_exceeded', 'The request took longer than this gateway allows.'))

  const deadlineTimer = setTimeout(onDeadline, options.deadline + deadlineGraceMs - options.now())
  options.signal.addEventListener('abort', onAbort)
  if (options.signal.aborted) onAbort()

  const readWithin = (withinMs: number) =>
    new Promise<Awaited<ReturnType<typeof reader.read>> | 'silence'>((resolve, reject) => {
      if (interruption !== undefined) return reject(interruption)
      const silenceTimer = setTimeout(() => resolve('silence'), Math.min(Math.max(0, withinMs), longestTimerMs))
      const settle = (then: () => void): void => {
        clearTimeout(silenceTimer)
        then()
      }
      rejectWaiting = (error) => settle(() => reject(error))
      // A read that silence interrupted is still under way and is taken up again.
      reading ??= reader.read()
      reading.then(
        (result) => settle(() => resolve(result)),
        (error: unknown) => settle(() => reject(error instanceof Error ? error : new Error('The bus stream failed.'))),
      )
    })

  return {
    async next(withinMs = longestTimerMs) {
      const result = await readWithin(withinMs)
      if (result === 'silence') return result
      reading = undefined
      if (result.done) {
        release()
        throw apiError('queue_unavailable', 'The connection to the queue was lost before the answer was complete.')
      }
      if (result.value.some(({ event }) => isTerminal(event.type))) release()
      return result.value
    },
    stop: onAbort,
  }
}
