/**
 * Downloads one file of a hub into a folder: what arrives is kept as `<name>.part`, a new attempt continues after its
 * last byte, and the file gets its name when its checksum is right.
 */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TransientDownloadError } from './hub.ts'
import type { Hub, RemoteFile } from './hub.ts'
import { modelError } from './model-error.ts'
import { isMissing } from './read-json.ts'

/** Attempts in a row that may bring nothing; one that brings bytes starts the count anew. */
const fruitlessAttempts = 3

export interface Download {
  readonly hub: Hub
  readonly file: RemoteFile
  readonly folder: string
  /** Told how many bytes of the file are there. */
  readonly onBytes: (doneBytes: number) => void
  /** Before the next attempt; doubles with each fruitless one. */
  readonly pauseMs: number
  readonly signal?: AbortSignal
}

/**
 * A file that is there with the right checksum is left alone. Throws `download-failed` when attempts bring nothing,
 * leaving the part for the next call, and `damaged` when the checksum is wrong, leaving nothing.
 */
export async function downloadChecked({ hub, file, folder, onBytes, pauseMs, signal }: Download): Promise<void> {
  const path = join(folder, file.name)
  if ((await digestOf(path, file)) === file.checksum.hex) return onBytes(file.bytes)
  await rm(path, { force: true })
  const part = `${path}.part`
  for (let fruitless = 0; ; ) {
    const before = await sizeOf(part)
    try {
      await appendRest({ hub, file, part, from: before, onBytes })
      break
    } catch (error) {
      if (!(error instanceof TransientDownloadError)) throw error
      fruitless = (await sizeOf(part)) > before ? 0 : fruitless + 1
      if (fruitless >= fruitlessAttempts) throw error
      await sleep(pauseMs * 2 ** fruitless, undefined, signal && { signal })
    }
  }
  const digest = await digestOf(part, file)
  if (digest !== file.checksum.hex) {
    await rm(part, { force: true })
    throw modelError(
      'damaged',
      `${file.name} arrived with the ${file.checksum.algorithm} checksum ${digest}, and the hub lists ${file.checksum.hex}. It was deleted; pull again.`,
    )
  }
  await rename(part, path)
}

async function appendRest({ hub, file, part, from, onBytes }: Pick<Download, 'hub' | 'file' | 'onBytes'> & { part: string; from: number }): Promise<void> {
  // More than there should be: nothing to continue.
  let position = from > file.bytes ? 0 : from
  const handle = await open(part, position === 0 ? 'w' : 'r+')
  try {
    onBytes(position)
    if (position === file.bytes) return
    for await (const chunk of hub.read(file, position)) {
      if (position + chunk.length > file.bytes) throw modelError('damaged', `${file.name} is longer than the hub lists it.`)
      await handle.write(chunk, 0, chunk.length, position)
      position += chunk.length
      onBytes(position)
    }
    if (position < file.bytes) throw new TransientDownloadError(`${file.name} ended after ${position} of ${file.bytes} bytes. Pull again to continue.`)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The file's checksum, as the hub computes it; undefined when there is no such file. */
async function digestOf(path: string, { checksum, bytes }: RemoteFile): Promise<string | undefined> {
  if ((await sizeOf(path)) !== bytes) return undefined
  const hash: Hash = checksum.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`)
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) hash.update(chunk)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  return hash.digest('hex')
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (found) => found.size,
    (error: unknown) => {
      if (isMissing(error)) return 0
      throw error
    },
  )
}
