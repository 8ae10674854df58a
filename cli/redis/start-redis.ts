/**
 * A Redis server of our own on 127.0.0.1: its data, log and configuration lie in one folder, and a password that only
 * this user can read keeps other users of the machine out. Everything is appended to a file (AOF), so that jobs
 * survive a restart.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { RedisProgram } from './fetch-redis.ts'

export interface RedisServerOptions {
  readonly program: RedisProgram
  readonly folder: string
  readonly port: number
  readonly password: string
}

export interface RedisServer {
  readonly url: string
  readonly child: ChildProcess
}

/** Starts the server and waits until it answers. Throws an `Error` with the end of its log when it does not. */
export async function startRedis(options: RedisServerOptions): Promise<RedisServer> {
  const { program, folder, port, password } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const configuration = join(folder, 'redis.conf')
  const log = join(folder, 'redis.log')
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `dir "${folder}"`,
    `logfile "${log}"`,
    `requirepass ${password}`,
    'appendonly yes',
    'save ""',
    'daemonize no',
  ]
  await writeFile(configuration, `${lines.join('\n')}\n`, { mode: 0o600 })
  // A group of its own: Ctrl-C in the terminal must not end Redis before those who still write to it.
  const child = spawn(program.path, [configuration], {
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, ...program.environment },
  })
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`redis-server ended with ${signal ?? `code ${code}`}`)))
  })
  failed.catch(() => undefined)
  const url = `redis://:${password}@127.0.0.1:${port}`
  try {
    await Promise.race([waitForRedis(url, 15_000), failed])
  } catch (error) {
    child.kill('SIGKILL')
    const tail = (await readFile(log, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-5).join('\n')
    throw new Error(`Redis did not start (${error instanceof Error ? error.message : String(error)}).\n${tail}\nIts log: ${log}`, {
      cause: error,
    })
  }
  return { url, child }
}

/** Resolves with the server's version once it answers PING. Throws when it has not within `timeoutMs`. */
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
