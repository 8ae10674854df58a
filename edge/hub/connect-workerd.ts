/** Connections to Redis from workerd, over its TCP sockets (https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/). */
import { connect } from 'cloudflare:sockets'
import type { Connect } from './byte-connection.ts'
import type { RedisAddress } from './redis-address.ts'

export function connectWorkerd({ hostname, port, tls }: RedisAddress): Connect {
  return async () => {
    const socket = connect({ hostname, port }, { secureTransport: tls ? 'on' : 'off', allowHalfOpen: false })
    // Reads and writes report the same failure; unheard, this one would count as unhandled.
    socket.closed.catch(() => {})
    await socket.opened
    const reader = (socket.readable as ReadableStream<Uint8Array>).getReader()
    const writer = (socket.writable as WritableStream<Uint8Array>).getWriter()
    writer.closed.catch(() => {})
    reader.closed.catch(() => {})
    return {
      async read() {
        const { value } = await reader.read()
        return value
      },
      write: (bytes) => writer.write(bytes),
      close() {
        // A pending read ends with the cancel; closing the socket alone would wait for it.
        reader.cancel().catch(() => {})
        socket.close().catch(() => {})
      },
    }
  }
}
