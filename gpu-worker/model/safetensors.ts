/**
 * Reads a checkpoint in safetensors format, one file or several (https://huggingface.co/docs/safetensors, "Format"):
 * 8 bytes with the header's length, a JSON header {name: {dtype, shape, data_offsets}}, then the tensors' bytes. The
 * header of every file is checked in full before a tensor is read; tensors are read in chunks through a file handle, so
 * memory does not grow with the checkpoint. Nothing in a checkpoint is ever executed, and pickle files are not opened.
 */
import { open, readdir, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { modelError } from './model-error.ts'
import { isMissing, parseJson, readJsonFile } from './read-json.ts'
import { bytesPerElement, tensorTypes, toFloat32 } from './tensor-types.ts'
import type { TensorType } from './tensor-types.ts'

/** The format's own limit on a header. */
const maximumHeaderBytes = 100_000_000
const chunkBytes = 4 * 1024 * 1024

const tensorEntrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
})
const headerSchema = z.record(z.string(), z.unknown())
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) })

export const singleFile = 'model.safetensors'
export const indexFile = 'model.safetensors.index.json'

export interface CheckpointTensor {
  readonly name: string
  readonly type: TensorType
  readonly shape: readonly number[]
  readonly bytes: number
}

export interface Checkpoint {
  /** In the order of their names, by UTF-16 code units. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  /**
   * The tensor's bytes in order, in chunks that are the caller's to keep. A chunk holds whole rows (of the first
   * dimension) when a row is at most 4 MiB, else whole elements. Throws `damaged`.
   */
  chunks(name: string): AsyncGenerator<Uint8Array>
  /** The whole tensor. Throws `damaged` when it holds NaN or Inf. */
  readFloat32(name: string): Promise<Float32Array>
  close(): Promise<void>
}

interface LocatedTensor extends CheckpointTensor {
  readonly file: FileHandle
  readonly path: string
  /** Of the first byte, in the file. */
  readonly start: number
}

/**
 * Opens model.safetensors, or the shards that model.safetensors.index.json names. Throws `ModelError`: `not-found` when
 * there is neither, `unsupported` for formats or dtypes that we do not read, `damaged` for a file that contradicts
 * itself or the index. Close it after use.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const handles: FileHandle[] = []
  const close = async (): Promise<void> => {
    await Promise.all(handles.splice(0).map((handle) => handle.close()))
  }
  try {
    const located = new Map<string, LocatedTensor>()
    for (const [path, expected] of await checkpointFiles(folder)) {
      const handle = await openRegularFile(path)
      handles.push(handle)
      const tensors = await readHeader(handle, path)
      for (const tensor of tensors) {
        if (expected !== undefined && !expected.has(tensor.name)) {
          throw modelError('damaged', `${path} holds the tensor ${quote(tensor.name)}, which ${indexFile} does not place there.`)
        }
        located.set(tensor.name, tensor)
      }
      for (const name of expected ?? []) {
        if (!located.has(name)) throw modelError('damaged', `${path} lacks the tensor ${quote(name)}, which ${indexFile} places there.`)
      }
    }
    const tensors = new Map([...located].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    const find = (name: string): LocatedTensor => {
      const tensor = tensors.get(name)
      if (tensor === undefined) throw modelError('damaged', `The checkpoint ${folder} lacks the tensor ${quote(name)}.`)
      return tensor
    }
    return {
      tensors,
      chunks: (name) => readChunks(find(name)),
      readFloat32: async (name) => readFloat32(find(name)),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Throws `damaged` that names the tensor when a value is NaN or infinite. */
export function requireFinite(values: Float32Array, tensorName: string): void {
  for (const value of values) {
    // Also false for NaN; about three times as fast as Number.isFinite.
    if (!(value - value === 0)) throw modelError('damaged', `The tensor ${quote(tensorName)} holds a value that is not a finite number.`)
  }
}

/** Path of each file with the names that the index places there (undefined: whatever it holds). */
async function checkpointFiles(folder: string): Promise<Map<string, ReadonlySet<string> | undefined>> {
  const single = join(folder, singleFile)
  if (await exists(single)) return new Map([[single, undefined]])
  const indexPath = join(folder, indexFile)
  const index = await readJsonFile(indexPath, indexSchema)
  if (index === undefined) throw await noSafetensors(folder)
  const files = new Map<string, Set<string>>()
  for (const [tensor, file] of Object.entries(index.weight_map)) {
    // A shard lies beside its index: anything else could name a file elsewhere on this machine.
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors$/.test(file)) {
      throw modelError('damaged', `${indexPath} places the tensor ${quote(tensor)} in ${quote(file)}, which is not a file name of this folder.`)
    }
    const path = join(folder, file)
    const names = files.get(path) ?? new Set()
    files.set(path, names.add(tensor))
  }
  return files
}

async function noSafetensors(folder: string): Promise<Error> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  if (names === undefined) return modelError('not-found', `There is no folder ${folder}.`)
  const pickle = names.find((name) => /\.(bin|pt|pth|pkl|ckpt)$/.test(name))
  if (pickle === undefined) return modelError('not-found', `${folder} has neither ${singleFile} nor ${indexFile}.`)
  return modelError(
    'unsupported',
    `${join(folder, pickle)} is a pickle file, and pickle files can run code when they are opened, so they are never read. ` +
      'Convert the checkpoint to safetensors first (transformers: model.save_pretrained(folder, safe_serialization=True)).',
  )
}

async function readHeader(file: FileHandle, path: string): Promise<LocatedTensor[]> {
  const fileBytes = (await file.stat()).size
  const damaged = (reason: string): Error => modelError('damaged', `${path} is not a valid safetensors file: ${reason}.`)
  if (fileBytes < 8) throw damaged(`it is only ${fileBytes} bytes long`)
  const lengthField = Buffer.alloc(8)
  await readExactly(file, lengthField, 0, path)
  const headerBytes = lengthField.readBigUInt64LE()
  if (headerBytes > BigInt(maximumHeaderBytes)) throw damaged(`its header claims ${headerBytes} bytes`)
  if (headerBytes > BigInt(fileBytes - 8)) throw damaged(`its header claims ${headerBytes} bytes, and the file has ${fileBytes}`)
  const headerBuffer = Buffer.alloc(Number(headerBytes))
  await readExactly(file, headerBuffer, 8, path)
  const header = parseJson(headerBuffer.toString('utf8'), path, headerSchema)

  const dataStart = 8 + headerBuffer.length
  const dataBytes = fileBytes - dataStart
  const located: LocatedTensor[] = []
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const entry = tensorEntrySchema.safeParse(value)
    if (!entry.success) throw damaged(`its entry for ${quote(name)} is malformed`)
    const { dtype, shape } = entry.data
    const [begin, end] = entry.data.data_offsets
    const type = tensorTypes.find((known) => known === dtype)
    if (type === undefined) {
      throw modelError('unsupported', `${path}: the tensor ${quote(name)} has dtype ${quote(dtype)}; supported are ${tensorTypes.join(', ')}.`)
    }
    if (begin > end || end > dataBytes) {
      throw damaged(`${quote(name)} lies at bytes ${begin} to ${end} of ${dataBytes}; the file may be cut short`)
    }
    const bytes = shape.reduce((product, length) => product * length, bytesPerElement(type))
    if (bytes !== end - begin) throw damaged(`${quote(name)} has ${end - begin} bytes, and ${dtype} of shape [${shape.join(', ')}] needs ${bytes}`)
    located.push({ name, type, shape, bytes, file, path, start: dataStart + begin })
  }
  located.sort((a, b) => a.start - b.start || a.bytes - b.bytes)
  let next = dataStart
  for (const tensor of located) {
    if (tensor.start < next) throw damaged(`${quote(tensor.name)} overlaps the tensor before it`)
    if (tensor.start > next) throw damaged(`${tensor.start - next} bytes before ${quote(tensor.name)} belong to no tensor`)
    next += tensor.bytes
  }
  if (next !== fileBytes) throw damaged(`${fileBytes - next} bytes at its end belong to no tensor`)
  return located
}

async function* readChunks(tensor: LocatedTensor): AsyncGenerator<Uint8Array> {
  const rowBytes = tensor.bytes / (tensor.shape[0] ?? 1)
  const step = rowBytes > chunkBytes ? chunkBytes : chunkBytes - (chunkBytes % rowBytes)
  for (let done = 0; done < tensor.bytes; done += step) {
    const chunk = new Uint8Array(Math.min(step, tensor.bytes - done))
    await readExactly(tensor.file, chunk, tensor.start + done, tensor.path)
    yield chunk
  }
}

async function readFloat32(tensor: LocatedTensor): Promise<Float32Array> {
  const values = new Float32Array(tensor.bytes / bytesPerElement(tensor.type))
  let filled = 0
  for await (const chunk of readChunks(tensor)) {
    const part = toFloat32(tensor.type, chunk)
    values.set(part, filled)
    filled += part.length
  }
  requireFinite(values, tensor.name)
  return values
}

async function readExactly(file: FileHandle, into: Uint8Array, position: number, path: string): Promise<void> {
  for (let done = 0; done < into.byteLength; ) {
    const { bytesRead } = await file.read(into, done, into.byteLength - done, position + done)
    if (bytesRead === 0) throw modelError('damaged', `${path} became shorter while it was read.`)
    done += bytesRead
  }
}

async function openRegularFile(path: string): Promise<FileHandle> {
  const found = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) throw modelError('not-found', `The shard ${basename(path)} is missing: ${path}.`)
    throw error
  })
  // Opening a pipe or a device would block or worse.
  if (!found.isFile()) throw modelError('damaged', `${path} is not a regular file.`)
  return open(path, 'r')
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false
      throw error
    },
  )
}

/** Names come from the checkpoint and may hold anything, terminal escapes included. */
function quote(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name)
}
