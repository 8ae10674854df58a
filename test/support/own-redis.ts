/** A Redis for one test alone, which the test may kill: it comes back by itself with what it held. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Redis } from 'ioredis'
import { freePort } from '../../cli/free-port.ts'
import { findRedis } from '../../cli/redis/find-redis.ts'
import { startRedis } from '../../cli/redis/start-redis.ts'

export interface OwnRedis {
  readonly url: string
  /** kill -9. */
  kill(): Promise<void>
  stop(): Promise<void>
}

export async function startOwnRedis(): Promise<OwnRedis> {
  const source = await findRedis(resolve(process.env['PHIGATE_HOME'] ?? '.phigate'), { PATH: process.env['PATH'] }, () => undefined)
  if (source.type !== 'program') throw new Error('This needs a Redis program, not the address of a server.')
  const folder = await mkdtemp(join(tmpdir(), 'phigate-own-redis-'))
  const { url, server } = await startRedis({ program: source.program, folder, port: await freePort(), password: 'test', say: () => undefined })
  await server.ready
  return {
    url,
    async kill() {
      const client = new Redis(url)
      const pid = Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1])
      client.disconnect()
      process.kill(pid, 'SIGKILL')
    },
    async stop() {
      await server.stop(5000)
      await rm(folder, { recursive: true, force: true })
    },
  }
}
