/**
 * A Redis server of our own on 127.0.0.1: its data, log and configuration lie in one folder, and a password that only
 * this user can read keeps other users of the machine out. Everything is appended to a file (AOF), so that jobs
 * survive a restart.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { supervise } from '../supervise.ts'
import type { Supervised } from '../supervise.ts'
import type { RedisProgram } from './fetch-redis.ts'

export interface RedisServerOptions {
  readonly program: RedisProgram
  readonly folder: string
  readonly port: number
  readonly password: string
  readonly say: (line: string) => void
}

export interface RedisServer {
  readonly url: string
  readonly server: Supervised
}

/** Spawns the server; whoever called must stop it, also when `server.ready` rejects with the end of its log. */
export async function startRedis(options: RedisServerOptions): Promise<RedisServer> {
  const { program, folder, port, password, say } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const configuration = join(folder, 'redis.conf')
  await endOrphan(configuration, password)
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir "${folder}"`,
    `requirepass ${password}`,
    'appendonly yes',
    'save ""',
    'daemonize no',
  ]
  await writeFile(configuration, `${lines.join('\n')}\n`, { mode: 0o600 })
  const url = `redis://:${password}@127.0.0.1:${port}`
  const server = supervise({
    name: 'Redis server',
    command: program.path,
    args: [configuration],
    environment: program.environment,
    logFile: join(folder, 'redis.log'),
    waitUntilReady: () => waitForRedis(url, 15_000),
    say,
  })
  return { url, server }
}

/**
 * A launcher that was killed leaves its Redis behind. Two servers on one append-only file would ruin it, so the old one
 * is asked to save and go before a new one starts.
 */
async function endOrphan(configuration: string, password: string): Promise<void> {
  const port = /^port (\d+)$/m.exec(await readFile(configuration, 'utf8').catch(() => ''))?.[1]
  if (port === undefined) return
  const client = new Redis(`redis://:${password}@127.0.0.1:${port}`, { lazyConnect: true, connectTimeout: 1000, retryStrategy: () => null })
  client.on('error', () => undefined)
  try {
    await client.connect()
    // The reply to SHUTDOWN is the end of the connection.
    await client.shutdown('SAVE').catch(() => undefined)
    await delay(200)
  } catch {
    // Nobody listens there, or not ours: nothing to end.
  } finally {
    client.disconnect()
  }
}

/** Resolves with the server's version once it answers. Throws an `Error` when it has not within `timeoutMs`. */
export async function waitForRedis(url: string, timeoutMs: number): Promise<string> {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: timeoutMs,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
  })
  let lastError = 'no answer'
  client.on('error', (error: Error) => (lastError = error.message))
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s: ${lastError}`)), timeoutMs)
  })
  try {
    client.connect().catch(() => undefined)
    const information = await Promise.race([client.info('server'), timeout])
    return /redis_version:(\S+)/.exec(information)?.[1] ?? 'unknown'
  } finally {
    clearTimeout(timer)
    client.disconnect()
  }
}
