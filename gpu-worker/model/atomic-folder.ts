/**
 * Makes a folder appear all at once: it is filled under another name beside its place and renamed when it is complete.
 * A process that dies leaves only such a sibling, which the next one that makes the same folder removes. The sibling's
 * name tells host and process, so that a living process's work is never taken for a leftover.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { randomBase62 } from '../../shared/ids.ts'
import { isAlive } from './process-lock.ts'
import { isMissing } from './read-json.ts'

/** A sibling from another host (a shared disk) is a leftover when nothing in it has changed for so long. */
const staleMs = 60 * 60 * 1000

export interface FolderToMake {
  readonly folder: string
  /** Writes the content into the folder that it is given. */
  readonly fill: (partial: string) => Promise<void>
  /**
   * Asked when the place is taken by something that is not an empty folder: true lets the new folder replace it, false
   * keeps what is there and drops the new one. Throws when the place must not be touched.
   */
  readonly mayReplace: () => Promise<boolean>
}

export async function makeFolder({ folder, fill, mayReplace }: FolderToMake): Promise<void> {
  await mkdir(dirname(folder), { recursive: true })
  await removeLeftovers(folder)
  const partial = siblingOf(folder)
  await mkdir(partial)
  try {
    await fill(partial)
    while (!(await takePlace(partial, folder))) {
      if (!(await mayReplace())) break
      // Renamed first: a reader never sees it half deleted.
      const old = siblingOf(folder)
      await rename(folder, old).catch(ignoreMissing)
      await rm(old, { recursive: true, force: true })
    }
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

/** Returns false when something other than an empty folder is in the place. */
async function takePlace(partial: string, folder: string): Promise<boolean> {
  try {
    await rename(partial, folder)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(String(error.code))) return false
    throw error
  }
}

function siblingOf(folder: string): string {
  return join(dirname(folder), `${siblingPrefix(folder)}${hostPart()}.${process.pid}.${randomBase62(8)}`)
}

function siblingPrefix(folder: string): string {
  return `.${basename(folder)}.partial.`
}

function hostPart(): string {
  return hostname().replaceAll(/[^A-Za-z0-9-]/g, '-') || 'host'
}

async function removeLeftovers(folder: string): Promise<void> {
  const prefix = siblingPrefix(folder)
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(prefix)) continue
    const path = join(dirname(folder), name)
    const [host, processId] = name.slice(prefix.length).split('.')
    const abandoned = host === hostPart() ? !isAlive(Number(processId)) : Date.now() - (await lastChange(path)) > staleMs
    if (abandoned) await rm(path, { recursive: true, force: true })
  }
}

async function lastChange(path: string): Promise<number> {
  const names = await readdir(path).catch(() => [])
  const times = await Promise.all([path, ...names.map((name) => join(path, name))].map((each) => stat(each).then((found) => found.mtimeMs, () => 0)))
  return Math.max(...times)
}

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}
