/**
 * Writes weights.bin in one pass over a checkpoint: every tensor is checked, hashed, encoded and put in its place, a few
 * rows at a time. Memory does not grow with the checkpoint, except that a matrix which is stored transposed is gathered
 * in memory first, a byte per weight.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { createEncodingPool } from './encoding-pool.ts'
import { tensorBytes } from './onnx-writer.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import type { Weights } from './phi-graph.ts'
import type { Checkpoint, CheckpointTensor } from './safetensors.ts'
import { bytesPerElement } from './tensor-types.ts'
import { bytesPerRow, encodedParts } from './weight-encoding.ts'
import type { EncodedPart } from './weight-encoding.ts'

/** A page, so that ONNX Runtime can map each tensor instead of copying it. */
const alignment = 4096

/** Where the ONNX tensors lie. */
export interface WeightLayout {
  readonly offsets: ReadonlyMap<string, number>
  readonly totalBytes: number
}

export function layOut(weights: readonly Weights[]): WeightLayout {
  const offsets = new Map<string, number>()
  let end = 0
  for (const { name, shape, encoding } of weights) {
    for (const { suffix, type, shape: partShape } of encodedParts(encoding, shape)) {
      const offset = Math.ceil(end / alignment) * alignment
      offsets.set(name + suffix, offset)
      end = offset + tensorBytes(type, partShape)
    }
  }
  return { offsets, totalBytes: end }
}

export interface WeightsToWrite {
  readonly path: string
  readonly checkpoint: Checkpoint
  readonly configuration: PhiConfiguration
  readonly weights: readonly Weights[]
  readonly layout: WeightLayout
  /** That encode; 0 encodes on the calling one. */
  readonly threads: number
  readonly onBytes: (checkpointBytes: number) => void
  readonly signal?: AbortSignal
}

/** Returns the digest of the weights. Throws `ModelError` as `encodeRows`, and what the signal was aborted with. */
export async function writeWeights({ path, checkpoint, configuration, weights, layout, threads, onBytes, signal }: WeightsToWrite): Promise<string> {
  const pool = createEncodingPool(threads)
  const file = await open(path, 'w')
  /** Pieces under way; those that failed stay, so that their error is met. */
  const underWay = new Set<Promise<void>>()
  try {
    await file.truncate(layout.totalBytes)
    const places = new Map<string, TensorPlace>()
    for (const each of weights) {
      if (each.source.kind === 'rotary') await writeAt(file, rotaryTable(configuration, each.source.part), layout.offsets.get(each.name)!)
      else for (const [tensor, place] of placesOf(each, each.source.tensors, checkpoint, layout, file)) places.set(tensor, place)
    }
    const digest = await forEachChunk(checkpoint, async ({ name: tensor, type }, bytes, firstElement) => {
      signal?.throwIfAborted()
      const place = places.get(tensor)
      const length = bytes.byteLength
      // A stored inv_freq, which older transformers wrote, belongs to the digest and not to the graph.
      if (place === undefined) return onBytes(length)
      const { encoding, columns } = place
      const piece = pool.encode({ encoding, tensor, type, bytes, columns }).then(async (parts) => {
        await place.write(parts, firstElement / columns)
        onBytes(length)
      })
      underWay.add(piece)
      piece.then(() => underWay.delete(piece), () => undefined)
      if (underWay.size > 2 * threads) await Promise.race(underWay)
    })
    await Promise.all(underWay)
    await file.sync()
    return digest
  } finally {
    await pool.close()
    await Promise.allSettled(underWay)
    await file.close()
  }
}

/** Calls `visit` for every chunk of every tensor in the order of their names; returns the weights digest. */
export async function forEachChunk(
  checkpoint: Checkpoint,
  visit: (tensor: CheckpointTensor, chunk: Uint8Array, firstElement: number) => Promise<void>,
): Promise<string> {
  const hash = createHash('sha256')
  for (const [name, tensor] of checkpoint.tensors) {
    hash.update(`${JSON.stringify([name, tensor.type, tensor.shape])}\n`)
    let element = 0
    for await (const chunk of checkpoint.chunks(name)) {
      hash.update(chunk)
      const first = element
      element += chunk.byteLength / bytesPerElement(tensor.type)
      await visit(tensor, chunk, first)
    }
  }
  return `sha256:${hash.digest('hex')}`
}

interface TensorPlace {
  readonly encoding: Weights['encoding']
  /** Of the tensor's rows; 1 for a list. */
  readonly columns: number
  /** Takes the encoded parts of rows from `firstRow` on. */
  write(parts: readonly Uint8Array[], firstRow: number): Promise<void>
}

/** A place for each of the tensors whose rows, one after another, are these weights. */
function placesOf(
  { name, shape, encoding }: Weights,
  tensors: readonly string[],
  checkpoint: Checkpoint,
  layout: WeightLayout,
  file: FileHandle,
): [string, TensorPlace][] {
  const columns = shape[1] ?? 1
  const parts = encodedParts(encoding, shape).map((part) => {
    const offset = layout.offsets.get(name + part.suffix)!
    return part.order === 'rows' ? rowWriter(file, part, offset) : columnWriter(file, part, offset)
  })
  let rowsBefore = 0
  return tensors.map((tensor) => {
    const first = rowsBefore
    rowsBefore += checkpoint.tensors.get(tensor)!.shape[0]!
    const write: TensorPlace['write'] = async (encoded, firstRow) => {
      await Promise.all(encoded.map((bytes, index) => parts[index]!(bytes, first + firstRow)))
    }
    return [tensor, { encoding, columns, write }]
  })
}

type PartWriter = (bytes: Uint8Array, firstRow: number) => Promise<void>

function rowWriter(file: FileHandle, part: EncodedPart, offset: number): PartWriter {
  const rowBytes = bytesPerRow(part)
  return (bytes, firstRow) => writeAt(file, bytes, offset + firstRow * rowBytes)
}

/** Rows of one byte per weight become columns: gathered in memory, and written when the last has come. */
function columnWriter(file: FileHandle, { shape }: EncodedPart, offset: number): PartWriter {
  const [height, width] = [shape[0]!, shape[1]!]
  let gathered: Uint8Array | undefined
  let missing = height * width
  return async (bytes, first) => {
    gathered ??= new Uint8Array(height * width)
    const count = bytes.length / height
    for (let row = 0; row < height; row++) gathered.set(bytes.subarray(row * count, (row + 1) * count), row * width + first)
    missing -= bytes.length
    if (missing > 0) return
    const whole = gathered
    gathered = undefined
    await writeAt(file, whole, offset)
  }
}

/**
 * cos or sin of position * theta^(-2i/R) for every position and i < R/2, f32 [contextLength, R/2]. Frequencies and
 * angles are rounded to float32 as transformers computes them, so that long contexts agree with it.
 */
function rotaryTable({ contextLength, rotarySize, ropeTheta }: PhiConfiguration, part: 'cos' | 'sin'): Uint8Array {
  const half = rotarySize / 2
  const frequencies = Float32Array.from({ length: half }, (_, index) => 1 / Math.fround(ropeTheta ** Math.fround((2 * index) / rotarySize)))
  const table = new Float32Array(contextLength * half)
  for (let position = 0; position < contextLength; position++) {
    for (let index = 0; index < half; index++) table[position * half + index] = Math[part](Math.fround(position * frequencies[index]!))
  }
  return new Uint8Array(table.buffer)
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
  }
}
