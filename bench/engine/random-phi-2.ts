/**
 * A checkpoint with random weights in phi-2's shape and precision (2.8 billion parameters, 5.6 GB of F16), for benches that
 * need full size and no sense. It is written tensor by tensor in about two minutes and appears complete or not at all.
 *
 *     node bench/engine/random-phi-2.ts <folder>
 */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { makeFolder } from '../../gpu-worker/model/atomic-folder.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { writeRandomCheckpoint } from '../../gpu-worker/model/random-checkpoint.ts'

/** config.json of microsoft/phi-2 (https://huggingface.co/microsoft/phi-2). */
export const phi2Configuration: PhiConfiguration = {
  hiddenSize: 2560,
  intermediateSize: 10_240,
  layers: 32,
  heads: 32,
  headSize: 80,
  rotarySize: 32,
  ropeTheta: 10_000,
  layerNormEpsilon: 1e-5,
  contextLength: 2048,
  vocabularySize: 51_200,
  endTokens: [50_256],
}

/** Makes the folder; one that is there already is kept as it is. */
export async function writeRandomPhi2(folder: string, seed = 1): Promise<void> {
  if (await stat(join(folder, 'config.json')).then(() => true, () => false)) return
  await makeFolder({
    folder,
    fill: (partial) => writeRandomCheckpoint({ folder: partial, configuration: phi2Configuration, seed, type: 'F16', shards: 2 }),
    mayReplace: async () => false,
  })
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2)
  if (folder === undefined) {
    process.stderr.write('Usage: node bench/engine/random-phi-2.ts <folder>\n')
    process.exit(2)
  }
  await writeRandomPhi2(resolve(folder))
}
