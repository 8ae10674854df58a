/**
 * The blocking reader: one XREAD over the result streams of all live clients, and over a wake stream. A client that
 * arrives while the XREAD is blocked is not part of it; an entry in the wake stream makes the XREAD return, so that the
 * next one includes it. A position moves on only when its entries have been handed over, so a connection that dies at
 * any time costs a repeated read and neither loses nor repeats an event. It does not know jobs, queues or clients.
 */
import { resultKey, wakeKey } from '../../shared/redis-keys.ts'
import { failureLine, queueUnavailable } from './entry-lines.ts'
import { RedisError } from './redis-connection.ts'
import type { RedisConnection } from './redis-connection.ts'
import { readResultEntries } from './result-entries.ts'
import type { ResultBatch } from './result-entries.ts'
import { commandWithRetries, sleep } from './retry.ts'
import { createSubscription } from './subscription.ts'
import type { Subscription } from './subscription.ts'

export interface ResultReaderOptions {
  /** For blocking reads and nothing else. */
  readonly reader: RedisConnection
  /** For wake entries. */
  readonly commands: RedisConnection
  /** Names the wake stream. */
  readonly shard: string
  readonly attemptMs: number
  readonly blockMs: number
  readonly entriesPerRead: number
  readonly bufferBytes: number
  readonly unreachableMs: number
}

export interface FollowedResult {
  readonly stream: ReadableStream<Uint8Array>
  /** Stops following and breaks the stream. Returns false, and does nothing, when the following had ended before. */
  abort(reason: unknown): boolean
}

export interface ResultReader {
  /**
   * Follows a job's results from their beginning. Unless it is aborted, `onEnd` is called once: with `terminal` after
   * the terminal event, else with the reason why nobody will read further: the client left, an entry was malformed, or
   * Redis stayed away.
   */
  follow(jobId: string, onEnd: (why: FollowEnd) => void): FollowedResult
  /** Ends every stream with `queue_unavailable`. */
  close(): void
}

export type FollowEnd = 'terminal' | 'client_disconnected' | 'internal_error' | 'queue_unavailable'

interface Followed {
  readonly key: string
  readonly subscription: Subscription
  readonly onEnd: (why: FollowEnd) => void
  lastId: string
}

/** Between reads that fail while the connection is up, and so without the pause that a reconnection brings. */
const refusedDelayMs = 200

export function createResultReader(options: ResultReaderOptions): ResultReader {
  const { reader, commands, attemptMs, blockMs, unreachableMs } = options
  const wake = wakeKey(options.shard)
  const live = new Map<string, Followed>()
  let wakeId = '0-0'
  let running = false
  /** The clients in the XREAD under way, if there is one, and whether it has been told to return. */
  let blocked: { readonly on: ReadonlySet<Followed>; woken: boolean } | undefined

  async function run(): Promise<void> {
    running = true
    let answeredAt = Date.now()
    while (live.size > 0) {
      const included = Array.from(live.values()).filter((followed) => followed.subscription.hasRoom())
      blocked = { on: new Set(included), woken: false }
      try {
        await read(included)
        answeredAt = Date.now()
      } catch (error) {
        blocked = undefined
        if (isOneStreamsFault(error) && (await readOneByOne(included))) answeredAt = Date.now()
        if (Date.now() - answeredAt >= unreachableMs) failAll()
        else if (!isConnectionFault(error)) await sleep(refusedDelayMs)
      }
    }
    running = false
  }

  async function read(included: readonly Followed[]): Promise<void> {
    const args = ['XREAD', 'COUNT', String(options.entriesPerRead), 'BLOCK', String(blockMs), 'STREAMS', wake]
    for (const followed of included) args.push(followed.key)
    args.push(wakeId)
    for (const followed of included) args.push(followed.lastId)
    const reply = await reader.command(args, blockMs + attemptMs)
    blocked = undefined
    readResultEntries(reply, deliver)
  }

  /** Finds the stream that spoils the common read, and ends it alone. Returns false when Redis does not answer. */
  async function readOneByOne(included: readonly Followed[]): Promise<boolean> {
    for (const followed of included) {
      if (live.get(followed.key) !== followed) continue
      try {
        const reply = await reader.command(['XREAD', 'COUNT', '1', 'STREAMS', followed.key, followed.lastId], attemptMs)
        readResultEntries(reply, deliver)
      } catch (error) {
        if (!isOneStreamsFault(error)) return false
        fail(followed, 'internal_error', 'The result of this completion could not be read.')
      }
    }
    return true
  }

  function deliver(key: string, batch: ResultBatch): void {
    if (key === wake) {
      wakeId = batch.lastId
      return
    }
    const followed = live.get(key)
    if (followed === undefined) return
    followed.lastId = batch.lastId
    followed.subscription.deliver(batch.lines)
    if (batch.outcome === 'terminal') {
      live.delete(key)
      followed.subscription.end()
      followed.onEnd('terminal')
    } else if (batch.outcome === 'malformed') {
      fail(followed, 'internal_error', 'An event of this completion could not be read.')
    }
  }

  function fail(followed: Followed, code: 'internal_error' | 'queue_unavailable', message: string): void {
    live.delete(followed.key)
    followed.subscription.deliver(failureLine(code, message))
    followed.subscription.end()
    followed.onEnd(code)
  }

  function failAll(): void {
    for (const followed of live.values()) fail(followed, 'queue_unavailable', queueUnavailable().message)
  }

  function includeInRead(followed: Followed): void {
    if (!running) void run()
    else if (blocked !== undefined && !blocked.woken && !blocked.on.has(followed)) {
      blocked.woken = true
      // One entry is enough to wake; should it not arrive, the read still returns after its time limit.
      commandWithRetries(commands, ['XADD', wake, 'MAXLEN', '1', '*', 'wake', ''], { attemptMs, totalMs: blockMs }).catch(() => {})
    }
  }

  return {
    follow(jobId, onEnd) {
      const key = resultKey(jobId)
      if (live.has(key)) throw new Error('This job is followed already.')
      const stop = (): boolean => live.get(key) === followed && live.delete(key)
      const subscription = createSubscription({
        bufferBytes: options.bufferBytes,
        onDrained: () => includeInRead(followed),
        onCancel: () => {
          if (stop()) onEnd('client_disconnected')
        },
      })
      const followed: Followed = { key, subscription, onEnd, lastId: '0-0' }
      live.set(key, followed)
      includeInRead(followed)
      return {
        stream: subscription.stream,
        abort(reason) {
          if (!stop()) return false
          subscription.abort(reason)
          return true
        },
      }
    },
    close: failAll,
  }
}

/** A key of another type, or an entry too large to read: the other streams are not to suffer for it. */
function isOneStreamsFault(error: unknown): boolean {
  return error instanceof RedisError && (error.failure === 'too-large' || error.code === 'WRONGTYPE')
}

function isConnectionFault(error: unknown): boolean {
  return error instanceof RedisError && (error.failure === 'lost' || error.failure === 'unsent')
}
