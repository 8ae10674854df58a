/** Connections to Redis from Node, over node:net and node:tls. */
import { connect as connectPlain, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ByteConnection, Connect } from './byte-connection.ts'
import type { RedisAddress } from './redis-address.ts'

export function connectNode({ hostname: host, port, tls }: RedisAddress): Connect {
  return () =>
    new Promise<ByteConnection>((resolve, reject) => {
      // Server Name Indication (RFC 6066) takes names only.
      const socket = tls ? connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }) }) : connectPlain({ host, port })
      socket.setNoDelay(true)
      socket.once('error', reject)
      socket.once(tls ? 'secureConnect' : 'connect', () => {
        socket.off('error', reject)
        resolve(fromSocket(socket))
      })
    })
}

function fromSocket(socket: Socket): ByteConnection {
  const chunks: AsyncIterator<Uint8Array, undefined> = socket[Symbol.asyncIterator]()
  // Also keeps an error between two reads from ending the process; the next read reports it.
  socket.on('error', () => {})
  return {
    async read() {
      const { value } = await chunks.next()
      return value
    },
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve()))
      }),
    close: () => void socket.destroy(),
  }
}
