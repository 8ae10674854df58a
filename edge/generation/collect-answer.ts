/**
 * The events of a request's jobs gathered into whole texts, for requests that do not stream. Nothing is written before
 * the end, so a bare workerd does not notice a client that merely closes its side of the TCP connection meanwhile
 * (half-closed is legal); the jobs then run to their own end. A reset connection, or a proxy that passes the leaving
 * on, is noticed.
 */
import type { FinishReason, ScoredToken } from '../../shared/stream-events.ts'
import type { TokenUsage, WholeText } from '../openai/answer-format.ts'
import { errorOfEvent } from './error-of-event.ts'
import type { TextsFollower } from './follow-together.ts'

export interface CollectedText extends WholeText {
  readonly usage: TokenUsage | undefined
}

interface Gathering {
  text: string
  readonly logprobs: ScoredToken[]
  usage: TokenUsage | undefined
  finishReason: FinishReason | undefined
}

/** One text per job. Throws the first error that a job ended with; a part of an answer is never returned as if it were the whole. */
export async function collectAnswer(follower: TextsFollower, count: number): Promise<readonly CollectedText[]> {
  const texts = Array.from({ length: count }, (): Gathering => ({ text: '', logprobs: [], usage: undefined, finishReason: undefined }))
  for (;;) {
    const entries = await follower.next()
    if (entries === 'silence') continue
    for (const { text: index, event } of entries) {
      const gathering = texts[index]!
      if (event.type === 'delta') {
        gathering.text += event.text
        for (const token of event.logprobs ?? []) gathering.logprobs.push(token)
      } else if (event.type === 'usage') gathering.usage = event
      else if (event.type === 'error') throw errorOfEvent(event)
      else if (event.type === 'done') gathering.finishReason = event.finishReason
    }
    const whole = texts.flatMap(({ finishReason, ...rest }) => (finishReason === undefined ? [] : [{ ...rest, finishReason }]))
    if (whole.length === count) return whole
  }
}
