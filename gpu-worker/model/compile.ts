/**
 * Compiles a Hugging Face PhiForCausalLM checkpoint to the folder that manifest.ts describes: an ONNX graph made from
 * the configuration (phi-graph.ts), and the weights encoded and laid out as it reads them (write-weights.ts). No Python,
 * nothing executed.
 */
import { copyFile, readdir, stat, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { z } from 'zod'
import { modelIdSchema } from '../../shared/job.ts'
import type { LicenceProfileId } from '../../shared/licence-profiles.ts'
import { makeFolder } from './atomic-folder.ts'
import { digestFile } from './file-digest.ts'
import { graphFile, manifestFile, readManifest, tokenizerConfigFile, tokenizerFile, weightsFile } from './manifest.ts'
import type { Manifest } from './manifest.ts'
import { modelError } from './model-error.ts'
import { encodeOnnxModel } from './onnx-writer.ts'
import { phiTensors, readPhiConfiguration } from './phi-configuration.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import { phiGraph } from './phi-graph.ts'
import { encodingsOf, parsePrecision } from './precision.ts'
import { isMissing, readJsonFile } from './read-json.ts'
import { openCheckpoint } from './safetensors.ts'
import type { Checkpoint } from './safetensors.ts'
import { forEachChunk, layOut, writeWeights } from './write-weights.ts'

/** Part of the cache key of compiled models: raise it when the same checkpoint would compile to something else. */
export const compilerVersion = 1

/** Below this a thread takes longer to start than to encode its share. */
const smallCheckpointBytes = 64 * 1024 * 1024

export interface CompileProgress {
  readonly phase: 'identifying' | 'converting' | 'checking'
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface CompileOptions {
  /** Folder with config.json, tokenizer.json and safetensors. */
  readonly source: string
  /** Folder to make. A compiled model that is there is replaced when all is done; anything else is left and refused. */
  readonly out: string
  /** Default: the name of the source folder. */
  readonly modelId?: string
  /** One of `compilablePrecisions`. */
  readonly precision: string
  /** Weights per scale: for int4 (default 32), and for int8 (default: a scale per output channel). One of `blockSizes`. */
  readonly blockSize?: number
  /** Default: research use only. */
  readonly licence?: LicenceProfileId
  readonly ownedBy?: string
  readonly onProgress?: (progress: CompileProgress) => void
  /** Aborting it removes what was written and throws its reason. */
  readonly signal?: AbortSignal
  /** That encode the weights; default one per core, and for a small checkpoint none but the calling one. */
  readonly threads?: number
  /** What to do with a compiled model of the same weights that appears in `out` meanwhile; default `replace`. */
  readonly existing?: 'replace' | 'keep'
}

/**
 * Returns the manifest of the finished folder. Throws `ModelError`: `not-found`, `unsupported` or `damaged` for the
 * checkpoint, `occupied` for the place, and system errors such as a full disk as they are. The folder appears complete
 * or not at all.
 */
export async function compileCheckpoint(options: CompileOptions): Promise<Manifest> {
  const { onProgress, signal } = options
  const source = resolve(options.source)
  const out = resolve(options.out)
  const precision = parsePrecision(options.precision, options.blockSize)
  const modelId = options.modelId ?? basename(source)
  if (!modelIdSchema.safeParse(modelId).success) {
    throw modelError('unsupported', `${JSON.stringify(modelId)} can not be a model id: letters, digits, ".", "_" and "-", with at most one "/".`)
  }
  const configuration = await readPhiConfiguration(source)
  await checkTokenizer(source, configuration)
  await requireReplaceable(out)
  const checkpoint = await openCheckpoint(source)
  try {
    checkTensors(checkpoint, configuration)
    let manifest: Manifest | undefined
    await makeFolder({
      folder: out,
      fill: async (partial) => {
        const graph = phiGraph(configuration, encodingsOf(precision))
        const layout = layOut(graph.weights)
        const totalBytes = tensorBytes(checkpoint)
        let doneBytes = 0
        const weightsDigest = await writeWeights({
          path: join(partial, weightsFile),
          checkpoint,
          configuration,
          weights: graph.weights,
          layout,
          threads: options.threads ?? (totalBytes < smallCheckpointBytes ? 0 : availableParallelism()),
          onBytes: (bytes) => {
            doneBytes += bytes
            onProgress?.({ phase: 'converting', doneBytes, totalBytes })
          },
          ...(signal && { signal }),
        })
        await writeDurably(join(partial, graphFile), encodeOnnxModel(graph.build((name) => layout.offsets.get(name)!), weightsFile))
        await copyTokenizer(source, partial)
        manifest = {
          format: 1,
          modelId,
          ownedBy: options.ownedBy ?? 'local',
          licence: options.licence ?? 'phigate-research',
          created: Math.floor(Date.now() / 1000),
          weightsDigest,
          precision: precision.name,
          ...(precision.blockSize && { blockSize: precision.blockSize }),
          kvType: 'float32',
          kvInPlace: graph.kvInPlace,
          layers: configuration.layers,
          heads: configuration.heads,
          headSize: configuration.headSize,
          vocabularySize: configuration.vocabularySize,
          contextLength: configuration.contextLength,
          endTokens: [...configuration.endTokens],
          files: await digestFiles(partial, options),
        }
        signal?.throwIfAborted()
        await writeDurably(join(partial, manifestFile), Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`))
      },
      mayReplace: async () => {
        await requireReplaceable(out)
        if (options.existing !== 'keep') return true
        const there = await readManifest(out).catch(() => undefined)
        if (there?.weightsDigest !== manifest?.weightsDigest) return true
        manifest = there
        return false
      },
    })
    return manifest!
  } finally {
    await checkpoint.close()
  }
}

/** `sha256:<hex>` as the manifest's weightsDigest, without compiling. Throws `ModelError` as `openCheckpoint`. */
export async function digestCheckpoint(folder: string, { onProgress, signal }: Pick<CompileOptions, 'onProgress' | 'signal'> = {}): Promise<string> {
  const checkpoint = await openCheckpoint(folder)
  try {
    const totalBytes = tensorBytes(checkpoint)
    let doneBytes = 0
    return await forEachChunk(checkpoint, async (_, chunk) => {
      signal?.throwIfAborted()
      doneBytes += chunk.byteLength
      onProgress?.({ phase: 'identifying', doneBytes, totalBytes })
    })
  } finally {
    await checkpoint.close()
  }
}

function tensorBytes(checkpoint: Checkpoint): number {
  return [...checkpoint.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0)
}

function checkTensors(checkpoint: Checkpoint, configuration: PhiConfiguration): void {
  const expected = phiTensors(configuration)
  for (const [name, shape] of expected) {
    const tensor = checkpoint.tensors.get(name)
    if (tensor === undefined) throw modelError('damaged', `The checkpoint lacks the tensor ${name}.`)
    if (tensor.shape.join() !== shape.join()) {
      throw modelError('damaged', `The tensor ${name} has the shape [${tensor.shape.join(', ')}], and config.json asks for [${shape.join(', ')}].`)
    }
  }
  for (const name of checkpoint.tensors.keys()) {
    if (!expected.has(name) && !name.endsWith('.rotary_emb.inv_freq')) {
      throw modelError('unsupported', `The checkpoint has a tensor ${JSON.stringify(name)} that PhiForCausalLM does not have, so its answers would be wrong without it.`)
    }
  }
}

const tokenizerSchema = z.looseObject({
  model: z.looseObject({ type: z.literal('BPE'), vocab: z.record(z.string(), z.int().nonnegative()) }),
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string() })).default([]),
})

async function checkTokenizer(source: string, { vocabularySize }: PhiConfiguration): Promise<void> {
  const path = join(source, tokenizerFile)
  const tokenizer = await readJsonFile(path, tokenizerSchema)
  if (tokenizer === undefined) throw modelError('not-found', `${source} has no ${tokenizerFile}. Slow tokenizer files (vocab.json, merges.txt) are not read.`)
  const added = tokenizer.added_tokens.map(({ id, content }) => [content, id] as const)
  for (const [token, id] of [...Object.entries(tokenizer.model.vocab), ...added]) {
    if (id >= vocabularySize) throw modelError('damaged', `${path} gives ${JSON.stringify(token)} the id ${id}, and vocab_size is ${vocabularySize}.`)
  }
}

async function copyTokenizer(source: string, folder: string): Promise<void> {
  await copyFile(join(source, tokenizerFile), join(folder, tokenizerFile))
  await copyFile(join(source, tokenizerConfigFile), join(folder, tokenizerConfigFile)).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
}

async function digestFiles(folder: string, { onProgress, signal }: CompileOptions): Promise<Manifest['files']> {
  const names = (await readdir(folder)).toSorted()
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size))
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0)
  let doneBytes = 0
  const files: Manifest['files'] = {}
  for (const name of names) {
    files[name] = await digestFile(join(folder, name), {
      ...(signal && { signal }),
      onBytes: (bytes) => {
        doneBytes += bytes
        onProgress?.({ phase: 'checking', doneBytes, totalBytes })
      },
    })
  }
  return files
}

/** Throws `occupied` unless the place is free, empty, or holds a compiled model. */
async function requireReplaceable(out: string): Promise<void> {
  const names = await readdir(out).catch((error: unknown): string[] | undefined => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') return undefined
    if (isMissing(error)) return []
    throw error
  })
  if (names === undefined || (names.length > 0 && !names.includes(manifestFile))) {
    throw modelError('occupied', `${out} holds something that is not a compiled model; it was left as it is. Choose another folder.`)
  }
}

async function writeDurably(path: string, content: Uint8Array): Promise<void> {
  await writeFile(path, content, { flush: true })
}
