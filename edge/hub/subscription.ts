/**
 * One client's stream of result lines, and the bounded buffer in front of it. What arrives while nobody reads is handed
 * over as one chunk; while the buffer is full, the result reader leaves the job out and Redis keeps its entries.
 */

export interface Subscription {
  readonly stream: ReadableStream<Uint8Array>
  /** Whether more may be read from Redis for it. */
  hasRoom(): boolean
  deliver(lines: Uint8Array): void
  /** Closes the stream once all that was delivered has been read. */
  end(): void
  /** Breaks the stream at once; what was not read is gone. */
  abort(reason: unknown): void
}

export interface SubscriptionOptions {
  /** It has room while it holds fewer bytes than this; one delivery may go beyond. */
  readonly bufferBytes: number
  /** The buffer was emptied. */
  readonly onDrained: () => void
  /** The reader went away before the stream had ended. */
  readonly onCancel: () => void
}

export function createSubscription({ bufferBytes, onDrained, onCancel }: SubscriptionOptions): Subscription {
  let buffered: Uint8Array[] = []
  let bufferedBytes = 0
  let wanted = false
  let state: 'open' | 'ending' | 'over' = 'open'
  let controller: ReadableStreamDefaultController<Uint8Array>

  const finish = (): void => {
    state = 'over'
    controller.close()
  }

  const stream = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given
      },
      pull() {
        if (bufferedBytes === 0) {
          wanted = true
          return
        }
        const chunk = join(buffered, bufferedBytes)
        buffered = []
        bufferedBytes = 0
        controller.enqueue(chunk)
        if (state === 'ending') finish()
        else onDrained()
      },
      cancel() {
        if (state === 'over') return
        const early = state === 'open'
        state = 'over'
        buffered = []
        if (early) onCancel()
      },
    },
    // The stream asks only when someone reads, so that all waiting lines can go as one chunk.
    { highWaterMark: 0 },
  )

  return {
    stream,
    hasRoom: () => bufferedBytes < bufferBytes,
    deliver(lines) {
      if (state !== 'open' || lines.length === 0) return
      if (wanted) {
        wanted = false
        controller.enqueue(lines)
      } else {
        buffered.push(lines)
        bufferedBytes += lines.length
      }
    },
    end() {
      if (state !== 'open') return
      state = 'ending'
      if (bufferedBytes === 0) finish()
    },
    abort(reason) {
      if (state === 'over') return
      state = 'over'
      buffered = []
      controller.error(reason)
    },
  }
}

function join(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const [only] = chunks
  if (chunks.length === 1 && only !== undefined) return only
  const joined = new Uint8Array(bytes)
  let at = 0
  for (const chunk of chunks) {
    joined.set(chunk, at)
    at += chunk.length
  }
  return joined
}
