/**
 * A connection to Redis that never gives up: it reconnects for as long as the worker lives, and commands wait
 * meanwhile. A command whose reply was lost is sent again, so every command that is used must bear being sent twice.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Logger } from 'pino'

const longestReconnectPauseMs = 500
/** A command without any reply for this long means a dead connection; far above any time that we let a read block. */
const silenceMs = 10_000

const closing = new WeakSet<Redis>()

/** `purpose` names the connection in logs and in Redis' CLIENT LIST. */
export function connectToRedis(url: string, purpose: string, log: Logger): Redis {
  const redis: Redis = new Redis(url, {
    connectionName: purpose,
    connectTimeout: 5000,
    socketTimeout: silenceMs,
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => (closing.has(redis) ? null : Math.min(50 * 2 ** attempt, longestReconnectPauseMs)),
  })
  let away = false
  redis.on('error', (error: NodeJS.ErrnoException) => {
    // One line for each time it goes away, not one for each attempt to reach it.
    if (!away) log.warn({ connection: purpose, reason: error.code ?? error.message }, 'Redis can not be reached; trying until it can')
    away = true
  })
  redis.on('ready', () => {
    if (closing.has(redis)) redis.disconnect()
    if (away) log.info({ connection: purpose }, 'Redis answers again')
    away = false
  })
  return redis
}

/**
 * Closes a connection of `connectToRedis`; commands that wait for a reply reject. ioredis leaves them waiting for ever when
 * it is told to disconnect between two attempts to reconnect, so then the next attempt, which is soon, is the last.
 */
export function closeRedis(redis: Redis): void {
  closing.add(redis)
  if (redis.status !== 'reconnecting') redis.disconnect()
}

/** Error replies that say "not now" and not "never". */
const passingReplies = new Set(['LOADING', 'READONLY', 'OOM', 'BUSY', 'TRYAGAIN', 'CLUSTERDOWN', 'MASTERDOWN', 'NOREPLICAS', 'MISCONF'])
const retryPauseMs = 200

/**
 * Tries until Redis has done it. Throws when Redis refuses the command for good or the connection was closed on
 * purpose, never because Redis is away.
 */
export async function persist<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof Error) || !willPass(error)) throw error
      await delay(retryPauseMs)
    }
  }
}

function willPass(error: Error): boolean {
  // Scripts wrap the reply of the command that failed: "OOM command not allowed … script: <sha>, on @user_script:12."
  if (error.name === 'ReplyError') return passingReplies.has(error.message.split(' ', 1)[0] ?? '')
  return error.message !== 'Connection is closed.'
}
