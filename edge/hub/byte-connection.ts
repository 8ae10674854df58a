/**
 * The least that the hub needs of a network connection, in types that every platform has. connect-workerd.ts and
 * connect-node.ts open real ones; a test may hand in one that fails on purpose.
 */

export interface ByteConnection {
  /** The next bytes, which the caller owns; undefined once the other side has closed. Rejects when it broke. */
  read(): Promise<Uint8Array | undefined>
  /** Resolves when the platform wants more; rejects when the connection broke. */
  write(bytes: Uint8Array): Promise<void>
  /** Ends it at once, reads and writes under way included. Never throws. */
  close(): void
}

/** Resolves with an open connection; rejects when there is none to be had. May take as long as the platform likes. */
export type Connect = () => Promise<ByteConnection>
