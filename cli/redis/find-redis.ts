/**
 * Where Redis comes from, in this order: the server that REDIS_URL names; a server program on the PATH; a real Redis
 * fetched from the operating system's packages. There is no in-memory imitation: the queue needs consumer groups,
 * scripts and expiry to behave as Redis does.
 */
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fetchRedis, findFetchedRedis } from './fetch-redis.ts'
import type { RedisProgram } from './fetch-redis.ts'

export type RedisSource =
  | { readonly type: 'running'; readonly url: string }
  | { readonly type: 'program'; readonly program: RedisProgram; readonly origin: 'path' | 'fetched' }

export const threeWays = [
  'Phigate needs Redis 7 or newer (or Valkey). Any one of these will do:',
  '  1. point REDIS_URL at a server that runs: REDIS_URL=redis://127.0.0.1:6379 npm start',
  '  2. install redis-server or valkey-server so that it is on the PATH (apt, dnf, brew)',
  '  3. on Debian or Ubuntu: let Phigate fetch it; that needs apt-get, dpkg and a reachable package mirror',
].join('\n')

/** Finds Redis without fetching anything; undefined when there is none yet. */
export async function locateRedis(home: string, environment: NodeJS.ProcessEnv): Promise<RedisSource | undefined> {
  const url = environment['REDIS_URL']
  if (url !== undefined && url !== '') return { type: 'running', url }
  for (const name of ['redis-server', 'valkey-server']) {
    const path = await findOnPath(name, environment['PATH'] ?? '')
    if (path !== undefined) return { type: 'program', program: { path, environment: {} }, origin: 'path' }
  }
  const fetched = await findFetchedRedis(fetchedFolder(home))
  return fetched === undefined ? undefined : { type: 'program', program: fetched, origin: 'fetched' }
}

/** Finds or fetches Redis. Throws an `Error` that names the three ways when none works; the signal ends a download. */
export async function findRedis(home: string, environment: NodeJS.ProcessEnv, say: (line: string) => void, signal?: AbortSignal): Promise<RedisSource> {
  const located = await locateRedis(home, environment)
  if (located !== undefined) return located
  try {
    return { type: 'program', program: await fetchRedis(fetchedFolder(home), say, signal), origin: 'fetched' }
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${threeWays}`, { cause: error })
  }
}

function fetchedFolder(home: string): string {
  return join(home, 'redis-server')
}

async function findOnPath(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter((part) => part !== '')) {
    const candidate = join(folder, name)
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return candidate
  }
  return undefined
}
