/**
 * A job's events as a stream of server-sent events. Each pull of the client's side takes what has arrived and writes
 * it at once, so a slow client slows the reading and a fast one gets few large writes. Exactly one end: `[DONE]` after
 * success, or an error message and nothing after it.
 */
import { apiError, errorBody } from '../../shared/errors.ts'
import type { StreamEntry } from '../../shared/stream-events.ts'
import type { AnswerFormat, TokenUsage } from '../openai/answer-format.ts'
import { commentMessage, dataMessage, doneMessage } from '../openai/server-sent-events.ts'
import type { JobFollower } from './follow-job.ts'
import { errorOfEvent } from './error-of-event.ts'

export interface StreamAnswerOptions {
  readonly follower: JobFollower
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
  readonly format: AnswerFormat
  readonly includeUsage: boolean
  /** Entries that arrived before the response was committed. */
  readonly heard: readonly StreamEntry[]
  /** A comment is sent after this much silence. */
  readonly keepAliveMs: number
  /** Called once, with the error unless the stream ended well. */
  readonly onEnd: (error?: unknown) => void
}

export function streamAnswer(options: StreamAnswerOptions): ReadableStream<Uint8Array> {
  const { follower, format } = options
  const encoder = new TextEncoder()
  let heard = options.heard
  let accepted = false
  let position: number | undefined
  let usage: TokenUsage | undefined
  let ended = false

  const end = (error?: unknown): void => {
    options.signal.removeEventListener('abort', onClientGone)
    if (!ended) options.onEnd(error)
    ended = true
  }
  // A runtime tells of a lost client by the signal, by cancelling the body, or by both.
  const onClientGone = (): void => {
    follower.stop()
    end(apiError('cancelled', 'The client closed the request.'))
  }
  options.signal.addEventListener('abort', onClientGone)

  /** The messages of one entry; the last carries the entry's id, as a client has seen the entry only then. */
  const messages = ({ id, event }: StreamEntry): string => {
    switch (event.type) {
      case 'position':
        position = event.position
        return ''
      case 'accepted':
        // A second one comes from the worker that took the job over; the client need not know.
        if (accepted) return ''
        accepted = true
        return withLastId(format.opening(), id)
      case 'delta':
        return withLastId(format.delta(event.text, event.logprobs ?? []), id)
      case 'usage':
        usage = event
        return ''
      case 'done': {
        const usageChunks = options.includeUsage && usage !== undefined ? [format.usage(usage)] : []
        const text = withLastId([...format.closing(event.finishReason), ...usageChunks], id) + doneMessage
        end()
        return text
      }
      case 'error':
        throw errorOfEvent(event)
      case 'advisory':
      case 'moderation':
        // OpenAI's formats have no place for them; a block shows as finish_reason "content_filter".
        return ''
    }
  }

  const failure = (error: unknown): string => {
    end(error)
    return dataMessage(errorBody(error))
  }

  const messagesOf = (entries: readonly StreamEntry[]): string => {
    let text = ''
    try {
      for (const entry of entries) text += messages(entry)
    } catch (error) {
      text += failure(error)
    }
    return text
  }

  const comment = (): string => {
    if (accepted) return commentMessage('keep-alive')
    return commentMessage(position === undefined ? 'queued' : `queued, position ${position}`)
  }

  /** Waits until there is something to write. */
  const nextText = async (): Promise<string> => {
    for (;;) {
      const entries = heard.length > 0 ? heard : await follower.next(options.keepAliveMs)
      heard = []
      if (entries === 'silence') return comment()
      const text = messagesOf(entries)
      if (text !== '') return text
    }
  }

  const source: UnderlyingSource<Uint8Array> = {
    async pull(controller) {
      controller.enqueue(encoder.encode(await nextText().catch(failure)))
      if (ended) controller.close()
    },
    cancel: onClientGone,
  }
  // Nothing is read ahead of the client.
  return new ReadableStream(source, { highWaterMark: 0 })
}

function withLastId(chunks: readonly object[], id: string): string {
  return chunks.map((chunk, index) => dataMessage(chunk, index === chunks.length - 1 ? id : undefined)).join('')
}
