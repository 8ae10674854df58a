/**
 * Writes one attempt's events to the job's result stream, at most one append at a time: what arrives meanwhile goes with
 * the next one, neighbouring deltas as one, so a slow Redis makes fewer and larger entries and never a backlog. Each reply
 * tells whether the attempt may go on, so a cancellation is seen with the next token and nobody polls.
 *
 * It does not decide what may be written; that is the release's work.
 */
import type { StreamEvent } from '../../shared/stream-events.ts'
import { persist } from './redis-connection.ts'
import type { AppendResult, QueueScripts } from './scripts.ts'

export interface ResultWriterOptions {
  readonly scripts: Pick<QueueScripts, 'appendEvents'>
  readonly jobId: string
  readonly attempt: number
  /** How long results must live if nothing more is written. */
  readonly ttlSeconds: number
  /** Someone asks the job to stop. May be called more than once. */
  readonly onCancel: (reason: string) => void
  /** The attempt can write no more. */
  readonly onRefused: (outcome: 'fenced' | 'finished') => void
  /** Redis refuses the append itself, or the connection was closed on purpose. */
  readonly onFailure: (error: unknown) => void
}

export interface ResultWriter {
  /** Writes the events soon, in order. Without events it asks whether the attempt may go on. */
  write(events: readonly StreamEvent[]): void
  /** Writes the events, the last of them terminal, and all before them. Rejects with what `onFailure` was told. */
  finish(events: readonly StreamEvent[]): Promise<AppendResult['outcome']>
  /** Drops what has not been sent. Resolves when no append is under way. */
  abandon(): Promise<void>
}

export function createResultWriter(options: ResultWriterOptions): ResultWriter {
  const { scripts, jobId, attempt, ttlSeconds, onCancel, onRefused, onFailure } = options
  let waiting: StreamEvent[] = []
  let asked = false
  let appends = 0
  let outcome: AppendResult['outcome'] = 'written'
  let failure: { readonly error: unknown } | undefined
  let running = false
  let idle = Promise.resolve()

  async function appendAll(): Promise<void> {
    running = true
    try {
      while ((waiting.length > 0 || asked) && outcome === 'written') {
        const events = waiting
        waiting = []
        asked = false
        if (events.length > 0) appends += 1
        const result = await persist(() => scripts.appendEvents(jobId, attempt, appends, ttlSeconds, events))
        outcome = result.outcome
        if (result.outcome !== 'written') onRefused(result.outcome)
        else if (result.cancelReason !== null) onCancel(result.cancelReason)
      }
    } catch (error) {
      failure = { error }
      onFailure(error)
    } finally {
      // In the same tick as the last look at what waits: an event that came in between would wait for ever.
      running = false
    }
  }

  function start(): void {
    if (!running && failure === undefined) idle = appendAll()
  }

  return {
    write(events) {
      for (const event of events) addEvent(waiting, event)
      asked ||= events.length === 0
      start()
    },
    async finish(events) {
      for (const event of events) addEvent(waiting, event)
      start()
      await idle
      if (failure !== undefined) throw failure.error
      return outcome
    },
    async abandon() {
      waiting = []
      asked = false
      await idle
    },
  }
}

function addEvent(events: StreamEvent[], event: StreamEvent): void {
  const last = events.at(-1)
  if (event.type !== 'delta' || last?.type !== 'delta') {
    events.push(event)
    return
  }
  const logprobs = last.logprobs === undefined && event.logprobs === undefined ? undefined : [...(last.logprobs ?? []), ...(event.logprobs ?? [])]
  events[events.length - 1] = { type: 'delta', text: last.text + event.text, ...(logprobs !== undefined && { logprobs }) }
}
