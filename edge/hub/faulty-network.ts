/** Real connections for tests, with faults on demand: what a network does when no test is looking. */
import type { ByteConnection, Connect } from './byte-connection.ts'

export interface FaultyNetwork {
  readonly connect: Connect
  /** While down, open connections are broken and new ones fail. */
  setDown(down: boolean): void
  /** How often a connection was asked for while it was down. */
  refusals(): number
  /** Connections that are open now fall silent: they take every write, and give nothing to read until they are closed. */
  freeze(): void
  /** The next `count` connections that carry such a command break after Redis has answered it, and before anyone hears. */
  loseRepliesTo(command: string, count: number): void
  /** Per connection, in order of opening. */
  readonly traffic: readonly { writes: number; bytesRead: number }[]
}

export function createFaultyNetwork(connect: Connect): FaultyNetwork {
  const open = new Set<{ readonly close: () => void; frozen: boolean }>()
  const traffic: { writes: number; bytesRead: number }[] = []
  const losing = { command: '', count: 0 }
  let down = false
  let refusals = 0

  async function wrapped(): Promise<ByteConnection> {
    if (down) {
      refusals++
      throw new Error('the network is down')
    }
    const inner = await connect()
    const counts = { writes: 0, bytesRead: 0 }
    traffic.push(counts)
    let closed = (): void => {}
    const end = new Promise<undefined>((resolve) => {
      closed = () => resolve(undefined)
    })
    let losesNext = false
    const close = (): void => {
      open.delete(state)
      inner.close()
      closed()
    }
    const state = { close, frozen: false }
    open.add(state)
    return {
      async read() {
        const chunk = await inner.read().catch(() => undefined)
        counts.bytesRead += chunk?.length ?? 0
        if (state.frozen) return end
        if (losesNext) close()
        return losesNext ? undefined : chunk
      },
      async write(bytes) {
        counts.writes++
        if (state.frozen) return
        if (losing.count > 0 && new TextDecoder().decode(bytes).includes(losing.command)) {
          losing.count--
          losesNext = true
        }
        await inner.write(bytes)
      },
      close,
    }
  }

  return {
    connect: wrapped,
    setDown(value) {
      down = value
      if (down) for (const connection of open) connection.close()
    },
    refusals: () => refusals,
    freeze() {
      for (const connection of open) connection.frozen = true
    },
    loseRepliesTo: (command, count) => void Object.assign(losing, { command, count }),
    traffic,
  }
}
