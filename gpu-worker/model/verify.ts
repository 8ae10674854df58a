/** Checks a compiled folder byte for byte against its manifest, and lists what there is. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { catalogue } from './catalogue.ts'
import { digestFile } from './file-digest.ts'
import { readManifest } from './manifest.ts'
import type { Manifest } from './manifest.ts'
import { modelError } from './model-error.ts'
import { checkpointFolder, compiledFolders } from './model-home.ts'
import { isMissing } from './read-json.ts'

export interface VerifyOptions {
  readonly folder: string
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
  /** Aborting it throws its reason. */
  readonly signal?: AbortSignal
}

/** Returns the manifest when every file has the SHA-256 that it lists. Throws `ModelError`: as `readManifest`, or `damaged`. */
export async function verifyModel({ folder, onProgress, signal }: VerifyOptions): Promise<Manifest> {
  const manifest = await readManifest(folder)
  const files = Object.entries(manifest.files)
  const totalBytes = files.reduce((sum, [, { bytes }]) => sum + bytes, 0)
  let doneBytes = 0
  for (const [name, { sha256 }] of files) {
    signal?.throwIfAborted()
    const digest = await digestFile(join(folder, name), {
      ...(signal && { signal }),
      onBytes: (bytes) => {
        doneBytes += bytes
        onProgress?.(doneBytes, totalBytes)
      },
    })
    if (digest.sha256 !== sha256) {
      throw modelError('damaged', `${folder} is damaged: the SHA-256 of ${name} is ${digest.sha256} instead of ${sha256}. Compile the checkpoint again.`)
    }
  }
  return manifest
}

export interface ListedModel {
  readonly id: string
  readonly description: string
  /** `bundled` and `pulled` compile on first use. */
  readonly checkpoint: 'bundled' | 'pulled' | 'not pulled'
  readonly compiled: readonly { readonly folder: string; readonly precision: Manifest['precision'] }[]
}

/** The catalogue, with what is on this machine. Folders that are not whole are left out. */
export async function listModels(home: string): Promise<ListedModel[]> {
  const root = compiledFolders(home)
  const folders = (await namesIn(root)).filter((name) => !name.startsWith('.')).toSorted().map((name) => join(root, name))
  const found = await Promise.all(folders.map(async (folder) => ({ folder, manifest: await readManifest(folder).catch(() => undefined) })))
  return Promise.all(
    catalogue.map(async ({ id, description, checkpoint }) => ({
      id,
      description,
      checkpoint:
        checkpoint.kind === 'bundled' ? 'bundled'
        : (await namesIn(checkpointFolder(home, checkpoint.repository))).includes('config.json') ? 'pulled'
        : 'not pulled',
      compiled: found.flatMap(({ folder, manifest }) => (manifest?.modelId === id ? [{ folder, precision: manifest.precision }] : [])),
    })),
  )
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown): string[] => {
    if (isMissing(error)) return []
    throw error
  })
}
