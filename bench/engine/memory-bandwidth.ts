/**
 * How fast this machine reads memory, the limit of decoding one sequence: every step reads all weights once. As STREAM
 * (https://www.cs.virginia.edu/stream/) does it, arrays much larger than the caches are read by all threads at once, and
 * the best of several passes counts. The reading is memcmp's, which is behind `Buffer.compare` and stores nothing.
 */
import { once } from 'node:events'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'

/** Of each of a thread's two arrays. */
const arrayBytes = 256 * 2 ** 20
const passes = 5

/** Bytes per second; takes about a second and `threads` times 512 MiB. */
export async function measureMemoryBandwidth(threads: number): Promise<number> {
  let best = 0
  // One thread alone can be faster than several that share a memory controller with others.
  for (const count of new Set([1, threads])) best = Math.max(best, await bestOf(count))
  return best
}

async function bestOf(threads: number): Promise<number> {
  const readers = Array.from({ length: threads }, () => new Worker(new URL(import.meta.url), { workerData: 'memory-reader' }))
  try {
    await Promise.all(readers.map((reader) => once(reader, 'message')))
    let best = 0
    for (let pass = 0; pass < passes; pass++) {
      const started = performance.now()
      const done = readers.map((reader) => once(reader, 'message'))
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      for (const reader of readers) reader.postMessage('read')
      await Promise.all(done)
      best = Math.max(best, (2 * arrayBytes * threads * 1000) / (performance.now() - started))
    }
    return best
  } finally {
    await Promise.all(readers.map((reader) => reader.terminate()))
  }
}

function readOnRequest(): void {
  // Filled, because untouched pages are all the same page of zeros. The arrays are equal, so that nothing ends early.
  const [one, other] = [Buffer.alloc(arrayBytes, 1), Buffer.alloc(arrayBytes, 1)]
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const report = (): void => parentPort!.postMessage('done')
  parentPort!.on('message', () => {
    if (one.compare(other) !== 0) throw new Error('The arrays differ.')
    report()
  })
  report()
}

if (!isMainThread && workerData === 'memory-reader') readOnRequest()
