/**
 * The events of a request's jobs as one stream of server-sent events, each job a choice. Each pull of the client's side takes what has arrived and writes
 * it at once, so a slow client slows the reading and a fast one gets few large writes. Exactly one end: `[DONE]` after
 * success of all of them, or an error message and nothing after it.
 */
import { apiError, errorBody } from '../../shared/errors.ts'
import type { AnswerFormat, TokenUsage } from '../openai/answer-format.ts'
import { commentMessage, dataMessage, doneMessage } from '../openai/server-sent-events.ts'
import { totalUsage } from './choose-best.ts'
import { errorOfEvent } from './error-of-event.ts'
import type { TextEntry, TextsFollower } from './follow-together.ts'

export interface StreamAnswerOptions {
  readonly follower: TextsFollower
  /** Number of jobs, which are the choices in their order. */
  readonly choices: number
  /** How many of them share a prompt. */
  readonly candidates: number
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
  readonly format: AnswerFormat
  readonly includeUsage: boolean
  /** Entries that arrived before the response was committed. */
  readonly heard: readonly TextEntry[]
  /** A comment is sent after this much silence. */
  readonly keepAliveMs: number
  /** Called once, with the error unless the stream ended well. */
  readonly onEnd: (error?: unknown) => void
}

export function streamAnswer(options: StreamAnswerOptions): ReadableStream<Uint8Array> {
  const { follower, format, choices, candidates } = options
  const encoder = new TextEncoder()
  let heard = options.heard
  const accepted = new Set<number>()
  let position: number | undefined
  const usages: (TokenUsage | undefined)[] = Array.from({ length: choices }, () => undefined)
  let open = choices
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

  /**
   * The messages of one entry; the last carries the entry's id, as a client has seen the entry only then. The entries of
   * several jobs have no common order that an id could name.
   */
  const messages = ({ id: entryId, text: index, event }: TextEntry): string => {
    const id = choices === 1 ? entryId : undefined
    switch (event.type) {
      case 'position':
        position = event.position
        return ''
      case 'accepted':
        // A second one comes from the worker that took the job over; the client need not know.
        if (accepted.has(index)) return ''
        accepted.add(index)
        return withLastId(format.opening(index), id)
      case 'delta':
        return withLastId(format.delta(index, event.text, event.logprobs ?? []), id)
      case 'usage':
        usages[index] = event
        return ''
      case 'done': {
        open -= 1
        const closing = format.closing(index, event.finishReason)
        if (open > 0) return withLastId(closing, id)
        const usage = options.includeUsage ? totalUsage(usages, candidates) : undefined
        end()
        return withLastId(usage === undefined ? closing : [...closing, format.usage(usage)], id) + doneMessage
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
    follower.stop()
    end(error)
    return dataMessage(errorBody(error))
  }

  const messagesOf = (entries: readonly TextEntry[]): string => {
    let text = ''
    try {
      for (const entry of entries) text += messages(entry)
    } catch (error) {
      text += failure(error)
    }
    return text
  }

  const comment = (): string => {
    if (accepted.size > 0) return commentMessage('keep-alive')
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

function withLastId(chunks: readonly object[], id: string | undefined): string {
  return chunks.map((chunk, index) => dataMessage(chunk, index === chunks.length - 1 ? id : undefined)).join('')
}
