/** Which precisions the bench can run, and with which of llama.cpp's it compares each. */
import type { CompileOptions } from '../../gpu-worker/model/compile.ts'
import { readManifest, weightsFile } from '../../gpu-worker/model/manifest.ts'
import { phiTensors } from '../../gpu-worker/model/phi-configuration.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import type { GgmlType } from './gguf-blocks.ts'

export interface BenchConfiguration {
  readonly name: string
  readonly compile: Pick<CompileOptions, 'precision'>
  /** Of the embedding, which is looked up and not read as a whole. */
  readonly embeddingBytesPerWeight: 2 | 4
  /** Roughly, for saying beforehand what a compiled model takes on the disk. */
  readonly bytesPerWeight: number
  /** llama.cpp's type of about as many bits. */
  readonly peer: GgmlType
}

export const benchConfigurations: readonly BenchConfiguration[] = [
  { name: 'fp32', compile: { precision: 'fp32' }, embeddingBytesPerWeight: 4, bytesPerWeight: 4, peer: 'F32' },
]

export function parameters(shape: PhiConfiguration): number {
  return [...phiTensors(shape).values()].reduce((sum, lengths) => sum + lengths.reduce((product, length) => product * length, 1), 0)
}

/** Parameters of which a decoding step reads all: not the embedding. */
export function parametersPerStep(shape: PhiConfiguration): number {
  return parameters(shape) - shape.vocabularySize * shape.hiddenSize
}

/** Bytes of weights that one decoding step of a compiled model reads. */
export async function compiledBytesPerStep(folder: string, shape: PhiConfiguration, configuration: BenchConfiguration): Promise<number> {
  const { files } = await readManifest(folder)
  return files[weightsFile]!.bytes - shape.vocabularySize * shape.hiddenSize * configuration.embeddingBytesPerWeight
}
