/**
 * Makes what the bench needs in its cache folder, from nothing, and keeps it for the next run: a checkpoint with random
 * weights, compiled to each configuration, and the same checkpoint as GGUF files for the peers.
 */
import { mkdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Progress } from '../../cli/progress.ts'
import { makeFolder } from '../../gpu-worker/model/atomic-folder.ts'
import { compileCheckpoint, compilerVersion } from '../../gpu-worker/model/compile.ts'
import { readManifest } from '../../gpu-worker/model/manifest.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { writeRandomCheckpoint } from '../../gpu-worker/model/random-checkpoint.ts'
import { compiledBytes, parameters } from './configurations.ts'
import type { BenchConfiguration } from './configurations.ts'
import type { GgmlType } from './gguf-blocks.ts'
import { ggufBytes, writePhiGguf } from './phi-gguf.ts'

export interface ModelFiles {
  readonly compiled: ReadonlyMap<BenchConfiguration, string>
  readonly gguf: ReadonlyMap<GgmlType, string>
}

export interface Preparation {
  /** Holds one shape; other shapes get other folders. */
  readonly folder: string
  readonly shape: PhiConfiguration
  readonly configurations: readonly BenchConfiguration[]
  readonly peers: readonly GgmlType[]
  readonly progress: Progress
}

/** Throws an `Error` when the disk has too little room, and `ModelError` when a part can not be made. */
export async function prepareModels({ folder, shape, configurations, peers, progress }: Preparation): Promise<ModelFiles> {
  await mkdir(folder, { recursive: true })
  const checkpoint = join(folder, 'checkpoint')
  const compiled = new Map(configurations.map((configuration) => [configuration, join(folder, `${configuration.name}-v${compilerVersion}`)]))
  const gguf = new Map(peers.map((type) => [type, join(folder, `${type}.gguf`)]))
  const missing = {
    checkpoint: !(await exists(join(checkpoint, 'config.json'))),
    compiled: await filter([...compiled], async ([, path]) => !(await readManifest(path).then(() => true, () => false))),
    gguf: await filter([...gguf], async ([, path]) => !(await exists(path))),
  }
  if (missing.compiled.length === 0 && missing.gguf.length === 0) return { compiled, gguf }

  await requireRoom(folder, [
    missing.checkpoint ? 2 * parameters(shape) : 0,
    ...missing.compiled.map(([configuration]) => compiledBytes(shape, configuration)),
    ...missing.gguf.map(([type]) => ggufBytes(shape, type)),
  ])
  const percent = (done: number, total: number): string => `${Math.floor((100 * done) / total)} %`
  if (missing.checkpoint) {
    await progress.step('Writing a checkpoint with random weights', () =>
      makeFolder({
        folder: checkpoint,
        fill: (partial) => writeRandomCheckpoint({ folder: partial, configuration: shape, seed: 1, type: 'F16' }),
        mayReplace: async () => false,
      }),
    )
  }
  for (const [configuration, out] of missing.compiled) {
    await progress.step(`Compiling ${configuration.name}`, (detail) =>
      compileCheckpoint({
        source: checkpoint,
        out,
        modelId: 'bench/random',
        ...configuration.compile,
        onProgress: ({ phase, doneBytes, totalBytes }) => detail(`${phase}, ${percent(doneBytes, totalBytes)}`),
      }),
    )
  }
  for (const [type, path] of missing.gguf) {
    await progress.step(`Writing ${type}.gguf`, (detail) =>
      writePhiGguf({ checkpoint, path, type, onProgress: (done, total) => detail(percent(done, total)) }),
    )
  }
  return { compiled, gguf }
}

async function requireRoom(folder: string, sizes: readonly number[]): Promise<void> {
  const needed = sizes.reduce((sum, size) => sum + size, 0)
  const { bavail, bsize } = await statfs(folder)
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`
  process.stderr.write(`Models of the bench take ${gigabytes(needed)} more in ${folder}; they are kept for the next run.\n`)
  if (needed > bavail * bsize) throw new Error(`${folder} has room for ${gigabytes(bavail * bsize)} only. Choose another place with --cache.`)
}

async function filter<Item>(items: readonly Item[], holds: (item: Item) => Promise<boolean>): Promise<Item[]> {
  const kept = await Promise.all(items.map(holds))
  return items.filter((_, index) => kept[index])
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false)
}
