/** A thread of encoding-pool.ts: encodes what it is sent, one request after the other. */
import { parentPort } from 'node:worker_threads'
import type { EncodingReply, EncodingRequest } from './encoding-pool.ts'
import { ModelError } from './model-error.ts'
import { encodeRows } from './weight-encoding.ts'

const port = parentPort!
port.on('message', ({ id, ...rows }: EncodingRequest) => {
  try {
    const parts = encodeRows(rows)
    port.postMessage({ id, parts } satisfies EncodingReply, parts.map(({ buffer }) => buffer as ArrayBuffer))
  } catch (error) {
    const failure = error instanceof ModelError ? error.failure : undefined
    port.postMessage({ id, failure, message: error instanceof Error ? error.message : String(error) } satisfies EncodingReply)
  }
})
