/**
 * Fetches a checkpoint from the Hugging Face Hub, or a mirror of it, into PHIGATE_HOME. Only the kinds of files that we
 * read are fetched, never code or pickles. Files are collected in a folder beside the final place: a broken connection
 * or a killed process is continued from its last byte, every file's checksum is compared with the hub's listing, and the
 * folder gets its name when all is there.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { HUB_URL } from '@huggingface/hub'
import { catalogue, findInCatalogue } from './catalogue.ts'
import { connectToHub } from './hub.ts'
import type { Hub, RemoteFile } from './hub.ts'
import { downloadChecked } from './download.ts'
import { checkpointFolder } from './model-home.ts'
import { modelError } from './model-error.ts'
import { lockFile } from './process-lock.ts'
import { isMissing } from './read-json.ts'
import { indexFile, singleFile } from './safetensors.ts'

export interface PullOptions {
  /** Catalogue id of a model that comes from the hub. */
  readonly id: string
  /** PHIGATE_HOME. */
  readonly home: string
  /** Origin of a mirror, such as `https://mirror.example`. */
  readonly hubUrl?: string
  readonly accessToken?: string
  readonly onProgress?: (progress: { readonly title: string; readonly doneBytes: number; readonly totalBytes: number }) => void
  readonly signal?: AbortSignal
  /** How long the hub may stay silent, before its answer or in the middle of a file. Default 10 s. */
  readonly silenceMs?: number
  /** Pause before the next attempt; it doubles with each one that brings nothing. Default 0.5 s. */
  readonly pauseMs?: number
}

export interface PulledModel {
  readonly folder: string
  readonly files: readonly { readonly name: string; readonly bytes: number }[]
}

const wanted = /^(?:(?:config|generation_config|tokenizer|tokenizer_config|model\.safetensors\.index)\.json|[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors|LICENSE)$/

/**
 * Returns at once when the model is there already. Throws `ModelError`: `not-found` for an id that the hub has no part
 * in, `download-failed` with what was tried and what to do, `damaged` for a checksum that does not match. Calling it
 * again continues.
 */
export async function pullModel(options: PullOptions): Promise<PulledModel> {
  const { id, home, hubUrl = HUB_URL } = options
  const entry = findInCatalogue(id)
  if (entry === undefined) {
    const ids = catalogue.filter(({ checkpoint }) => checkpoint.kind === 'hub').map((each) => each.id)
    throw modelError('not-found', `There is no model ${JSON.stringify(id)} in the catalogue. Models that can be pulled: ${ids.join(', ')}.`)
  }
  if (entry.checkpoint.kind === 'bundled') throw modelError('not-found', `${id} is bundled with Phigate; there is nothing to pull.`)
  if (!/^https?:\/\/[^/]/.test(hubUrl)) throw modelError('download-failed', `${JSON.stringify(hubUrl)} is not the address of a hub: it must begin with https:// or http://.`)
  const { repository } = entry.checkpoint
  const folder = checkpointFolder(home, repository)
  const there = await filesOf(folder)
  if (there !== undefined) return { folder, files: there }

  const { accessToken, signal, silenceMs = 10_000, pauseMs = 500, onProgress } = options
  const hub = connectToHub({ origin: hubUrl.replace(/\/+$/, ''), repository, silenceMs, ...(accessToken && { accessToken }), ...(signal && { signal }) })
  const files = await listCheckpoint(hub, repository)
  await mkdir(dirname(folder), { recursive: true })
  const unlock = await lockFile(join(dirname(folder), `.${basename(folder)}.lock`), `Another process is pulling ${id}`)
  try {
    const partial = join(dirname(folder), `.${basename(folder)}.download`)
    await mkdir(partial, { recursive: true })
    const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0)
    let doneBefore = 0
    for (const file of files) {
      const onBytes = (doneBytes: number): void => onProgress?.({ title: id, doneBytes: doneBefore + doneBytes, totalBytes })
      await downloadChecked({ hub, file, folder: partial, onBytes, pauseMs, ...(signal && { signal }) })
      doneBefore += file.bytes
    }
    await removeOthers(partial, files)
    await rename(partial, folder)
  } finally {
    await unlock()
  }
  return { folder, files: files.map(({ name, bytes }) => ({ name, bytes })) }
}

async function listCheckpoint(hub: Hub, repository: string): Promise<RemoteFile[]> {
  const all = await hub.list()
  const files = all.filter(({ name }) => wanted.test(name))
  const has = (name: string): boolean => files.some((file) => file.name === name)
  const missing = ['config.json', 'tokenizer.json'].find((name) => !has(name)) ?? (has(singleFile) || has(indexFile) ? undefined : singleFile)
  if (missing !== undefined) throw modelError('unsupported', `${repository} has no ${missing}, so it can not be used; .bin files are never fetched.`)
  // The small files first, so that a mistake shows before gigabytes were fetched.
  return files.toSorted((a, b) => a.bytes - b.bytes)
}

/** What an earlier attempt left of files that the repository no longer has. */
async function removeOthers(folder: string, files: readonly RemoteFile[]): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!files.some((file) => file.name === name)) await rm(join(folder, name), { recursive: true, force: true })
  }
}

async function filesOf(folder: string): Promise<PulledModel['files'] | undefined> {
  try {
    const names = await readdir(folder)
    return await Promise.all(names.map(async (name) => ({ name, bytes: (await stat(join(folder, name))).size })))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
