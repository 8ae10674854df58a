/**
 * Encodes rows of weights on all cores: a few threads that each take the next piece. For a small checkpoint the threads
 * would take longer to start than the work, so with no threads it happens where it is called. The results are the same.
 */
import { Worker } from 'node:worker_threads'
import { ModelError } from './model-error.ts'
import type { ModelFailure } from './model-error.ts'
import { encodeRows } from './weight-encoding.ts'
import type { RowsToEncode } from './weight-encoding.ts'

export interface EncodingRequest extends RowsToEncode {
  readonly id: number
}

export type EncodingReply =
  | { readonly id: number; readonly parts: Uint8Array[] }
  | { readonly id: number; readonly failure: ModelFailure | undefined; readonly message: string }

export interface EncodingPool {
  /** As `encodeRows`. The bytes are handed over: they can not be used afterwards. */
  encode(rows: RowsToEncode): Promise<Uint8Array[]>
  close(): Promise<void>
}

export function createEncodingPool(threads: number): EncodingPool {
  if (threads === 0) return { encode: async (rows) => encodeRows(rows), close: async () => undefined }
  const waiting = new Map<number, { resolve(parts: Uint8Array[]): void; reject(error: unknown): void }>()
  const failAll = (error: unknown): void => {
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  const workers = Array.from({ length: threads }, () => {
    const worker = new Worker(new URL('./encoding-thread.ts', import.meta.url), { name: 'encoding' })
    worker.on('message', (reply: EncodingReply) => {
      const asked = waiting.get(reply.id)
      waiting.delete(reply.id)
      if ('parts' in reply) asked?.resolve(reply.parts)
      else asked?.reject(reply.failure === undefined ? new Error(reply.message) : new ModelError(reply.failure, reply.message))
    })
    worker.on('error', failAll)
    return worker
  })
  let asked = 0
  return {
    encode: (rows) =>
      new Promise((resolve, reject) => {
        const id = asked++
        waiting.set(id, { resolve, reject })
        workers[id % threads]!.postMessage({ ...rows, id } satisfies EncodingRequest, [rows.bytes.buffer as ArrayBuffer])
      }),
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()))
      failAll(new Error('The compile was stopped.'))
    },
  }
}
