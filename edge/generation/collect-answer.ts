/**
 * A job's events gathered into one whole answer, for requests that do not stream. Nothing is written before the end,
 * so a bare workerd does not notice a client that merely closes its side of the TCP connection meanwhile (half-closed
 * is legal); the job then runs to its own end. A reset connection, or a proxy that passes the leaving on, is noticed.
 */
import type { ScoredToken } from '../../shared/stream-events.ts'
import type { TokenUsage, WholeAnswer } from '../openai/answer-format.ts'
import { errorOfEvent } from './error-of-event.ts'
import type { JobFollower } from './follow-job.ts'

/** Throws the error that the job ended with; a part of an answer is never returned as if it were the whole. */
export async function collectAnswer(follower: JobFollower): Promise<WholeAnswer> {
  let text = ''
  let usage: TokenUsage | undefined
  const logprobs: ScoredToken[] = []
  for (;;) {
    const entries = await follower.next()
    if (entries === 'silence') continue
    for (const { event } of entries) {
      if (event.type === 'delta') {
        text += event.text
        for (const token of event.logprobs ?? []) logprobs.push(token)
      } else if (event.type === 'usage') usage = event
      else if (event.type === 'error') throw errorOfEvent(event)
      else if (event.type === 'done') return { text, logprobs, usage, finishReason: event.finishReason }
    }
  }
}
