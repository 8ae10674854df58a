/** One real Redis for a whole test run; tests read its address by `inject('redisUrl')` and use keys of their own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestProject } from 'vitest/node'
import { freePort } from '../../cli/free-port.ts'
import { findRedis } from '../../cli/redis/find-redis.ts'
import { startRedis } from '../../cli/redis/start-redis.ts'

declare module 'vitest' {
  interface ProvidedContext {
    redisUrl: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  // The fetched program is shared with `npm start`; a server that REDIS_URL names is never touched by tests.
  const home = resolve(process.env['PHIGATE_HOME'] ?? '.phigate')
  const source = await findRedis(home, { PATH: process.env['PATH'] }, (line) => console.log(`Redis: ${line}`))
  if (source.type !== 'program') throw new Error('Tests start a Redis of their own.')
  const folder = await mkdtemp(join(tmpdir(), 'phigate-test-redis-'))
  const { url, server } = await startRedis({
    program: source.program,
    folder,
    port: await freePort(),
    password: 'test',
    say: console.error,
  })
  await server.ready
  project.provide('redisUrl', url)
  return async () => {
    await server.stop(5000)
    await rm(folder, { recursive: true, force: true })
  }
}
