/**
 * Writes safetensors files, for the checkpoints that we make ourselves. Tensors are produced one at a time, when their
 * turn comes, and large ones in pieces, so that a checkpoint larger than memory can be written.
 */
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { indexFile, singleFile } from './safetensors.ts'
import { bytesPerElement, fromFloat32 } from './tensor-types.ts'
import type { TensorType } from './tensor-types.ts'

export interface TensorsToWrite {
  readonly folder: string
  readonly shapes: ReadonlyMap<string, readonly number[]>
  readonly type: TensorType
  /** 1 writes model.safetensors; more write model-0000i-of-0000n.safetensors and an index. */
  readonly shards?: number
  /** Values of the tensor, row-major, whole or in pieces. Called once per tensor, in the order of `shapes`. */
  readonly values: (name: string, shape: readonly number[]) => Float32Array | Generator<Float32Array>
}

export async function writeSafetensors({ folder, shapes, type, shards = 1, values }: TensorsToWrite): Promise<void> {
  const names = [...shapes.keys()]
  const perShard = Math.ceil(names.length / shards)
  const weightMap: Record<string, string> = {}
  for (let shard = 0; shard < shards; shard++) {
    const file = shards === 1 ? singleFile : `model-${padded(shard + 1)}-of-${padded(shards)}.safetensors`
    const part = names.slice(shard * perShard, (shard + 1) * perShard)
    for (const name of part) weightMap[name] = file
    await writeFileOf(join(folder, file), part, shapes, type, values)
  }
  if (shards > 1) {
    const totalSize = names.reduce((sum, name) => sum + tensorBytes(shapes.get(name)!, type), 0)
    await writeFile(join(folder, indexFile), `${JSON.stringify({ metadata: { total_size: totalSize }, weight_map: weightMap }, null, 2)}\n`)
  }
}

async function writeFileOf(
  path: string,
  names: readonly string[],
  shapes: TensorsToWrite['shapes'],
  type: TensorType,
  values: TensorsToWrite['values'],
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let offset = 0
  for (const name of names) {
    const shape = shapes.get(name)!
    const end = offset + tensorBytes(shape, type)
    header[name] = { dtype: type, shape, data_offsets: [offset, end] }
    offset = end
  }
  const text = JSON.stringify(header)
  // The format lets spaces pad the header, so that the data start at a multiple of 8.
  const headerBytes = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(headerBytes.length))
  const file = await open(path, 'w')
  try {
    await file.write(length)
    await file.write(headerBytes)
    for (const name of names) {
      const content = values(name, shapes.get(name)!)
      for (const piece of content instanceof Float32Array ? [content] : content) await file.writeFile(fromFloat32(type, piece))
    }
  } finally {
    await file.close()
  }
}

function tensorBytes(shape: readonly number[], type: TensorType): number {
  return shape.reduce((product, length) => product * length, bytesPerElement(type))
}

function padded(number: number): string {
  return String(number).padStart(5, '0')
}
