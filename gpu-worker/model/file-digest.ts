/** SHA-256 of files, read in chunks. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'

/** Hexadecimal SHA-256 and length of the file. `onBytes` is told the size of each chunk once it is hashed. */
export async function digestFile(
  path: string,
  options: { readonly onBytes?: (bytes: number) => void; readonly signal?: AbortSignal } = {},
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  const stream = createReadStream(path, { highWaterMark: 1 << 20, ...(options.signal && { signal: options.signal }) })
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
    options.onBytes?.(chunk.length)
  }
  return { bytes, sha256: hash.digest('hex') }
}
