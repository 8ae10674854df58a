/** A compiled checkpoint with random weights in a temporary folder, and the plain forward pass that judges it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadReferencePhi } from '../../../test/support/reference-phi.ts'
import type { ReferenceModel } from '../../../test/support/reference-phi.ts'
import { compileCheckpoint } from '../../model/compile.ts'
import type { Manifest } from '../../model/manifest.ts'
import type { PhiConfiguration } from '../../model/phi-configuration.ts'
import { tinyConfiguration, writeRandomCheckpoint } from '../../model/random-checkpoint.ts'

export interface RandomModel {
  readonly folder: string
  readonly manifest: Manifest
  readonly reference: ReferenceModel
  remove(): Promise<void>
}

/** Shapes for which the compiler makes different graphs: one that works on the cache in place, and one that does not. */
export const graphKinds: Record<string, Partial<PhiConfiguration>> = {
  'in place': { heads: 2, headSize: 32, rotarySize: 16, hiddenSize: 64 },
  'not in place': { heads: 3, headSize: 20, rotarySize: 10, hiddenSize: 60 },
}

/** With `poison`, whatever attends to this token becomes NaN, and other tokens do not. */
export async function makeRandomModel(changes: Partial<PhiConfiguration> & { readonly poison?: number } = {}): Promise<RandomModel> {
  const { poison, ...configuration } = changes
  const home = await mkdtemp(join(tmpdir(), 'phigate-engine-'))
  const source = join(home, 'checkpoint')
  const folder = join(home, 'compiled')
  await writeRandomCheckpoint({ folder: source, configuration: { ...tinyConfiguration, contextLength: 64, ...configuration }, seed: 11 })
  if (poison !== undefined) await spoilToken(join(source, 'model.safetensors'), poison)
  const manifest = await compileCheckpoint({ source, out: folder, modelId: 'test/random', precision: 'fp32' })
  return { folder, manifest, reference: await loadReferencePhi(source), remove: () => rm(home, { recursive: true, force: true }) }
}

/**
 * The first layer adds 2e37 to one element of the residual and the last one takes it away again. For the spoilt token,
 * whose embedding is near the end of float32 there, the sum is infinite, and so the next LayerNorm makes NaN of it.
 */
async function spoilToken(path: string, token: number): Promise<void> {
  const bytes = await readFile(path)
  // safetensors: length of the header (u64), header (JSON), data; offsets in the header count from the data.
  const headerBytes = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<string, { shape: number[]; data_offsets: number[] }>
  const write = (name: string, row: number, value: number): void => {
    const { shape, data_offsets: offsets } = header[name]!
    bytes.writeFloatLE(value, 8 + headerBytes + offsets[0]! + 4 * row * (shape[1] ?? 1))
  }
  write('model.embed_tokens.weight', token, 3.3e38)
  write('model.layers.0.mlp.fc2.bias', 0, 2e37)
  write('model.layers.1.mlp.fc2.bias', 0, -2e37)
  await writeFile(path, bytes)
}
