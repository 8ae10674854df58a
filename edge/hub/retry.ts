/** Repeats a command that does no harm when it runs twice, for as long as a better answer may still come. */
import { RedisError } from './redis-connection.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { Reply } from './resp.ts'

/** What a server says while it starts or hands over; the same command may succeed a moment later. */
const transientCodes: ReadonlySet<string> = new Set(['LOADING', 'BUSY', 'TRYAGAIN', 'CLUSTERDOWN', 'MASTERDOWN', 'READONLY'])
const transientDelayMs = 100

export interface RetryLimits {
  /** For one attempt. */
  readonly attemptMs: number
  /** No attempt begins later than this after the first one. */
  readonly totalMs: number
}

/**
 * Resolves with the first reply. Rejects with the last attempt's `RedisError`; its failure is `lost` when *any* attempt
 * may have run, so that any other means that none did.
 */
export async function commandWithRetries(connection: RedisConnection, args: readonly string[], limits: RetryLimits): Promise<Reply> {
  const deadline = Date.now() + limits.totalMs
  let mayHaveRun = false
  for (;;) {
    try {
      return await connection.command(args, limits.attemptMs)
    } catch (error) {
      if (!(error instanceof RedisError)) throw error
      mayHaveRun ||= error.failure === 'lost'
      const transient = transientCodes.has(error.code)
      const worthwhile = transient || error.failure === 'lost' || error.failure === 'unsent'
      if (!worthwhile || Date.now() >= deadline) throw mayHaveRun ? new RedisError('lost', error.message, error.code) : error
      if (transient) await sleep(transientDelayMs)
    }
  }
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}
