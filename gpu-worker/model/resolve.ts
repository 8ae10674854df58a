/**
 * Finds the compiled folder of a model: a path is taken as it is, a catalogue id is compiled on first use from its
 * checkpoint, when that is on this machine, and found again afterwards. Nothing is downloaded here; see pull.ts.
 */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { catalogue, findInCatalogue } from './catalogue.ts'
import type { CatalogueEntry } from './catalogue.ts'
import { compileCheckpoint, digestCheckpoint } from './compile.ts'
import type { CompileProgress } from './compile.ts'
import { readManifest, tokenizerConfigFile, tokenizerFile } from './manifest.ts'
import type { Manifest } from './manifest.ts'
import { checkpointFolder, compiledFolder } from './model-home.ts'
import { modelError } from './model-error.ts'
import { readSmallTextFile } from './read-json.ts'

export interface ResolveOptions {
  /** Catalogue id, or path of a compiled folder. */
  readonly model: string
  /** PHIGATE_HOME. */
  readonly home: string
  readonly onProgress?: (progress: CompileProgress) => void
  readonly signal?: AbortSignal
}

export interface ResolvedModel {
  readonly folder: string
  readonly manifest: Manifest
}

/**
 * Several processes may resolve the same model at once: each compiles into a place of its own, the first to finish is
 * used by all. Throws `ModelError`: `not-found` with what to do when the model is unknown or not pulled, else as
 * `readManifest` and `compileCheckpoint`.
 */
export async function resolveModel({ model, home, ...options }: ResolveOptions): Promise<ResolvedModel> {
  const entry = findInCatalogue(model)
  if (entry !== undefined) return resolveEntry(entry, home, options)
  const folder = resolve(model)
  const known = await stat(folder).then((found) => found.isDirectory(), () => false)
  if (!known) {
    const ids = catalogue.map(({ id }) => id).join(', ')
    throw modelError('not-found', `There is no model ${JSON.stringify(model)}: it is neither in the catalogue (${ids}) nor a folder.`)
  }
  return { folder, manifest: await readManifest(folder) }
}

async function resolveEntry(entry: CatalogueEntry, home: string, options: Pick<ResolveOptions, 'onProgress' | 'signal'>): Promise<ResolvedModel> {
  const source = entry.checkpoint.kind === 'bundled' ? entry.checkpoint.folder : await pulledCheckpoint(entry.id, home)
  const precision = 'fp32'
  const folder = compiledFolder(home, entry.id, await checkpointKey(source, options), precision)
  const ready = await readManifest(folder).catch(() => undefined)
  if (ready !== undefined) return { folder, manifest: ready }
  const { id: modelId, licence, ownedBy } = entry
  const manifest = await compileCheckpoint({ source, out: folder, modelId, precision, licence, ownedBy, existing: 'keep', ...options })
  return { folder, manifest }
}

/** Hash of all of a checkpoint that the compiled folder depends on: the weights and the small files. */
async function checkpointKey(source: string, options: Pick<ResolveOptions, 'onProgress' | 'signal'>): Promise<string> {
  const hash = createHash('sha256').update(await digestCheckpoint(source, options))
  for (const name of ['config.json', 'generation_config.json', tokenizerFile, tokenizerConfigFile]) {
    hash.update(`${name}\0${(await readSmallTextFile(join(source, name))) ?? ''}\0`)
  }
  return hash.digest('hex')
}

async function pulledCheckpoint(id: string, home: string): Promise<string> {
  const folder = checkpointFolder(home, id)
  const isThere = await stat(join(folder, 'config.json')).then(() => true, () => false)
  if (!isThere) {
    throw modelError('not-found', `The model ${id} is not on this machine. Fetch it once with "npm run phigate -- model pull ${id}".`)
  }
  return folder
}
