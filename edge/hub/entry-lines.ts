/**
 * The caller's side of the line format: lines `<id>\t<type>\t<data>\n` become stream entries, and only here is an
 * event's JSON parsed and checked. A last line `!\t<code>\t<message>\n` says why the hub gave up, since the reason of
 * an error does not travel with a broken body.
 */
import { apiError, errorCodes } from '../../shared/errors.ts'
import type { ApiError, ErrorCode } from '../../shared/errors.ts'
import { decodeEvent, isTerminal } from '../../shared/stream-events.ts'
import type { StreamEntry } from '../../shared/stream-events.ts'
import { defaultRespLimits, encodeText } from './resp.ts'

const failureMark = '!'

export function failureLine(code: ErrorCode, message: string): Uint8Array {
  return encodeText(`${failureMark}\t${code}\t${message}\n`)
}

export function queueUnavailable(cause?: unknown): ApiError {
  return apiError('queue_unavailable', 'The job queue can not be reached at the moment. Try again in a few seconds.', { cause })
}

export interface EntryStreamOptions {
  /** Aborting it errors the stream with its reason and cancels the source. */
  readonly signal: AbortSignal
  /** The lines stopped without a word: nothing upstream can be expected to have cleaned up. */
  readonly onBroken: () => void
}

/**
 * Decodes lines, one batch per chunk of the source. Closes after the terminal entry. Errors with what a failure line
 * says, with `internal_error` for a line that holds no valid event, and with `queue_unavailable` when the source breaks
 * or ends before the terminal entry.
 */
export function entriesFromLines(source: ReadableStream<Uint8Array>, { signal, onBroken }: EntryStreamOptions): ReadableStream<readonly StreamEntry[]> {
  const reader: ReadableStreamDefaultReader<Uint8Array> = source.getReader()
  const decoder = createLineDecoder()
  let over = false
  let onAbort = (): void => {}

  const leave = (): void => {
    over = true
    signal.removeEventListener('abort', onAbort)
    // After a terminal entry this only lets go of the source; before it, the hub takes it as the client's leaving.
    reader.cancel().catch(() => {})
  }

  async function nextBatch(): Promise<Batch> {
    for (;;) {
      const chunk = await reader.read().catch(() => undefined)
      if (chunk?.value === undefined) {
        if (!over) onBroken()
        return { entries: [], end: queueUnavailable() }
      }
      const batch = decoder(chunk.value)
      if (batch.entries.length > 0 || batch.end !== undefined) return batch
    }
  }

  return new ReadableStream<readonly StreamEntry[]>(
    {
      start(controller) {
        onAbort = () => {
          leave()
          controller.error(signal.reason)
        }
        if (signal.aborted) onAbort()
        else signal.addEventListener('abort', onAbort, { once: true })
      },
      async pull(controller) {
        const { entries, end } = await nextBatch()
        if (over) return
        if (entries.length > 0) controller.enqueue(entries)
        if (end === undefined) return
        leave()
        if (end === 'terminal') controller.close()
        else controller.error(end)
      },
      cancel: leave,
    },
    // Nothing is read ahead: the hub's buffer, not this one, tells how far behind the client is.
    { highWaterMark: 0 },
  )
}

interface Batch {
  readonly entries: readonly StreamEntry[]
  /** Why nothing comes after them. */
  readonly end: 'terminal' | ApiError | undefined
}

const unreadable = (): ApiError => apiError('internal_error', 'An event of this completion could not be read.')

function createLineDecoder(): (chunk: Uint8Array) => Batch {
  const decoder = new TextDecoder()
  /** Pieces of a line whose end has not come; joined once, for a long line comes in many pieces. */
  let pieces: string[] = []
  let piecesLength = 0

  return (chunk) => {
    const entries: StreamEntry[] = []
    let text = decoder.decode(chunk, { stream: true })
    const lastLineEnd = text.lastIndexOf('\n')
    if (lastLineEnd === -1) {
      pieces.push(text)
      piecesLength += text.length
      return { entries, end: piecesLength > defaultRespLimits.replyBytes ? unreadable() : undefined }
    }
    const rest = text.slice(lastLineEnd + 1)
    text = pieces.join('') + text.slice(0, lastLineEnd)
    pieces = [rest]
    piecesLength = rest.length

    for (const line of text.split('\n')) {
      const idEnd = line.indexOf('\t')
      const typeEnd = line.indexOf('\t', idEnd + 1)
      const id = line.slice(0, idEnd)
      const type = line.slice(idEnd + 1, typeEnd)
      const data = line.slice(typeEnd + 1)
      if (id === failureMark) return { entries, end: failureOf(type, data) }
      try {
        entries.push({ id, event: decodeEvent(type, data) })
      } catch {
        return { entries, end: unreadable() }
      }
      if (isTerminal(type)) return { entries, end: 'terminal' }
    }
    return { entries, end: undefined }
  }
}

function failureOf(code: string, message: string): ApiError {
  const known = errorCodes.find((candidate) => candidate === code)
  return known === undefined ? unreadable() : apiError(known, message)
}
