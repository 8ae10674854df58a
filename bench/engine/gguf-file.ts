/**
 * GGUF version 3, the file that llama.cpp loads (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): a magic,
 * typed metadata, a table of tensors, and their bytes at multiples of 32. Only the value types that a Phi model needs,
 * little-endian, tensors streamed so that a model larger than memory can be written. It does not read GGUF.
 */
import { open, rename, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { blockWeights, ggmlTypes } from './gguf-blocks.ts'
import type { GgmlType } from './gguf-blocks.ts'

const version = 3
const alignment = 32

/** Numbers of `gguf_metadata_value_type`. */
const valueTypes = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const

export type MetadataValue =
  | { readonly type: 'uint32' | 'float32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'int32s'; readonly value: readonly number[] }

export interface GgufTensor {
  readonly name: string
  readonly type: GgmlType
  /** As everywhere else: the last one is the one whose elements lie side by side. (GGUF itself lists it first.) */
  readonly shape: readonly number[]
  /** The tensor's bytes in order. */
  readonly bytes: () => AsyncIterable<Uint8Array>
}

export interface GgufFile {
  readonly path: string
  readonly metadata: Readonly<Record<string, MetadataValue>>
  readonly tensors: readonly GgufTensor[]
  readonly onBytes?: (written: number) => void
}

/** Writes beside the place and renames at the end. Throws when a tensor yields another number of bytes than its shape has. */
export async function writeGguf({ path, metadata, tensors, onBytes }: GgufFile): Promise<void> {
  const partial = `${path}.partial`
  const file = await open(partial, 'w')
  try {
    await writeAll(file, encodeHeader(metadata, tensors))
    for (const tensor of tensors) {
      let written = 0
      for await (const chunk of tensor.bytes()) {
        await writeAll(file, chunk)
        written += chunk.byteLength
        onBytes?.(chunk.byteLength)
      }
      const expected = tensorBytes(tensor)
      if (written !== expected) throw new Error(`The tensor ${tensor.name} has ${written} bytes instead of ${expected}.`)
      await writeAll(file, new Uint8Array(aligned(expected) - expected))
    }
    await file.close()
    await rename(partial, path)
  } catch (error) {
    await file.close()
    await rm(partial, { force: true })
    throw error
  }
}

/** Bytes of a tensor in its type. */
export function tensorBytes({ type, shape }: Pick<GgufTensor, 'type' | 'shape'>): number {
  return (shape.reduce((product, length) => product * length, 1) / blockWeights) * ggmlTypes[type].bytesPerBlock
}

function encodeHeader(metadata: GgufFile['metadata'], tensors: readonly GgufTensor[]): Uint8Array {
  const parts: Buffer[] = []
  const uint32 = (value: number): void => void parts.push(littleEndian(4, (bytes) => bytes.writeUInt32LE(value)))
  const uint64 = (value: number): void => void parts.push(littleEndian(8, (bytes) => bytes.writeBigUInt64LE(BigInt(value))))
  const text = (value: string): void => {
    const bytes = Buffer.from(value)
    uint64(bytes.length)
    parts.push(bytes)
  }
  const value = (entry: MetadataValue): void => {
    switch (entry.type) {
      case 'strings':
        uint32(valueTypes.array)
        uint32(valueTypes.string)
        uint64(entry.value.length)
        return entry.value.forEach(text)
      case 'int32s':
        uint32(valueTypes.array)
        uint32(valueTypes.int32)
        uint64(entry.value.length)
        return void parts.push(Buffer.from(Int32Array.from(entry.value).buffer))
      case 'string':
        uint32(valueTypes.string)
        return text(entry.value)
      case 'bool':
        uint32(valueTypes.bool)
        return void parts.push(Buffer.of(entry.value ? 1 : 0))
      case 'uint32':
        uint32(valueTypes.uint32)
        return uint32(entry.value)
      case 'float32':
        uint32(valueTypes.float32)
        return void parts.push(littleEndian(4, (bytes) => bytes.writeFloatLE(entry.value)))
    }
  }

  parts.push(Buffer.from('GGUF'))
  uint32(version)
  uint64(tensors.length)
  uint64(Object.keys(metadata).length)
  for (const [key, entry] of Object.entries(metadata)) {
    text(key)
    value(entry)
  }
  let offset = 0
  for (const tensor of tensors) {
    text(tensor.name)
    uint32(tensor.shape.length)
    tensor.shape.toReversed().forEach(uint64)
    uint32(ggmlTypes[tensor.type].id)
    uint64(offset)
    offset += aligned(tensorBytes(tensor))
  }
  const header = Buffer.concat(parts)
  return Buffer.concat([header, Buffer.alloc(aligned(header.length) - header.length)])
}

function littleEndian(size: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(size)
  write(bytes)
  return bytes
}

function aligned(offset: number): number {
  return Math.ceil(offset / alignment) * alignment
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) done += (await file.write(bytes, done)).bytesWritten
}
