/**
 * Several jobs followed as one: the texts of one request, each of which is a job of its own with its own grant, events
 * and end. Entries come in the order of their arrival, marked with the number of their text. When one job can not be
 * followed any more, none is.
 */
import { isTerminal } from '../../shared/stream-events.ts'
import type { StreamEntry } from '../../shared/stream-events.ts'
import type { JobFollower } from './follow-job.ts'

export interface TextEntry extends StreamEntry {
  /** Counts the jobs from 0. */
  readonly text: number
}

export interface TextsFollower {
  /** As a `JobFollower`'s: all entries that are there; after the last job's terminal one there is nothing to ask for. */
  next(withinMs?: number): Promise<readonly TextEntry[] | 'silence'>
  /** Cancels every job that has not ended. Idempotent. */
  stop(): void
}

export function followTogether(followers: readonly JobFollower[]): TextsFollower {
  /** Jobs without a terminal entry so far, and whether their next entries are being waited for. */
  const open = new Map<number, boolean>(Array.from(followers.keys(), (text) => [text, false]))
  let arrived: TextEntry[] = []
  let failure: { readonly error: unknown } | undefined
  let wake: () => void = () => undefined

  async function wait(text: number, follower: JobFollower): Promise<void> {
    open.set(text, true)
    try {
      const entries = await follower.next()
      open.set(text, false)
      if (entries === 'silence') return
      if (entries.some(({ event }) => isTerminal(event.type))) open.delete(text)
      for (const entry of entries) arrived.push({ ...entry, text })
    } catch (error) {
      failure ??= { error }
    } finally {
      wake()
    }
  }

  const stop = (): void => followers.forEach((follower) => follower.stop())

  return {
    async next(withinMs) {
      followers.forEach((follower, text) => open.get(text) === false && void wait(text, follower))
      if (arrived.length === 0 && failure === undefined) {
        let timer: ReturnType<typeof setTimeout> | undefined
        await new Promise<void>((resolve) => {
          wake = resolve
          if (withinMs !== undefined) timer = setTimeout(resolve, Math.max(0, withinMs))
        })
        clearTimeout(timer)
      }
      if (arrived.length > 0) {
        const entries = arrived
        arrived = []
        return entries
      }
      if (failure === undefined) return 'silence'
      stop()
      throw failure.error
    },
    stop,
  }
}
