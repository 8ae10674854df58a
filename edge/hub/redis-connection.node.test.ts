import { afterEach, expect, inject, test } from 'vitest'
import type { ByteConnection, Connect } from './byte-connection.ts'
import { connectNode } from './connect-node.ts'
import { createFaultyNetwork } from './faulty-network.ts'
import { parseRedisAddress } from './redis-address.ts'
import { createRedisConnection } from './redis-connection.ts'
import type { RedisConnection } from './redis-connection.ts'
import { encodeText, replyValue } from './resp.ts'

const address = parseRedisAddress(inject('redisUrl'))
const opened: RedisConnection[] = []
afterEach(() => {
  for (const connection of opened.splice(0)) connection.close()
})

function open(connect: Connect, changes: Partial<typeof address> = {}): RedisConnection {
  const connection = createRedisConnection({ connect, address: { ...address, ...changes }, name: 'test', connectTimeoutMs: 500 })
  opened.push(connection)
  return connection
}

/** A server that gives the next answer to each write, and then stays silent. */
function scripted(...answers: readonly string[]): Connect {
  return async (): Promise<ByteConnection> => {
    const left = [...answers]
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 10 })
    const [reader, writer] = [readable.getReader(), writable.getWriter()]
    return {
      read: async () => (await reader.read()).value,
      async write() {
        const answer = left.shift()
        if (answer !== undefined) await writer.write(encodeText(answer))
      },
      close: () => void reader.cancel(),
    }
  }
}

test('commands of one turn leave in one write and come back in order', async () => {
  const network = createFaultyNetwork(connectNode(address))
  const connection = open(network.connect)
  await connection.command(['PING'], 5_000)
  const before = network.traffic[0]?.writes ?? 0
  const texts = Array.from({ length: 500 }, (_, i) => `${i} é`)
  const replies = await Promise.all(texts.map((text) => connection.command(['ECHO', text], 5_000)))
  expect(replies.map(replyValue)).toEqual(texts)
  expect((network.traffic[0]?.writes ?? 0) - before).toBe(1)
})

test('the database of the URL is selected', async () => {
  const key = 'redis-connection-test-database'
  const [one, zero] = [open(connectNode(address), { database: 1 }), open(connectNode(address))]
  await one.command(['SET', key, 'x', 'PX', '20000'], 5_000)
  expect(replyValue(await one.command(['EXISTS', key], 5_000))).toBe(1)
  expect(replyValue(await zero.command(['EXISTS', key], 5_000))).toBe(0)
})

test("a refusal shows Redis's code and none of the arguments", async () => {
  const connection = open(connectNode(address))
  const refused = connection.command(['NOSUCH', 'a secret prompt'], 5_000)
  await expect(refused).rejects.toMatchObject({ failure: 'refused', code: 'ERR', message: 'Redis answered ERR.' })
  expect(replyValue(await connection.command(['PING'], 5_000))).toBe('PONG')
})

test('a server that is still loading is waited for', async () => {
  const loading = scripted('+OK\r\n+OK\r\n-LOADING Redis is loading the dataset in memory\r\n')
  let attempts = 0
  const connection = open(() => (attempts++ < 3 ? loading() : connectNode(address)()))
  expect(replyValue(await connection.command(['PING'], 5_000))).toBe('PONG')
  expect(attempts).toBe(4)
})

test.each([
  ['a connection that never opens', () => new Promise<never>(() => {}), 'unsent'],
  ['a server that never greets', scripted(), 'unsent'],
  ['a server of another protocol', scripted('HTTP/1.1 400 Bad Request\r\n\r\n'), 'unsent'],
  ['a server that falls silent', scripted('+OK\r\n+OK\r\n+PONG\r\n'), 'lost'],
  ['a server that answers nonsense', scripted('+OK\r\n+OK\r\n+PONG\r\n', '%%%\r\n'), 'lost'],
] as const)('with %s a command fails in time and says whether it was sent', async (_name, connect, failure) => {
  await expect(open(connect).command(['INCR', 'x'], 300)).rejects.toMatchObject({ failure })
})

test('a connection that was closed takes nothing more', async () => {
  const connection = open(scripted())
  const waiting = connection.command(['PING'], 5_000)
  connection.close()
  await expect(waiting).rejects.toMatchObject({ failure: 'not-accepted' })
  await expect(connection.command(['PING'], 5_000)).rejects.toMatchObject({ failure: 'not-accepted' })
})
