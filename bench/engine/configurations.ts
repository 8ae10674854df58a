/** Which precisions the bench can run, how many bytes they take, and with which of llama.cpp's it compares each. */
import type { CompileOptions } from '../../gpu-worker/model/compile.ts'
import { tensorBytes } from '../../gpu-worker/model/onnx-writer.ts'
import { phiTensors } from '../../gpu-worker/model/phi-configuration.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { phiGraph } from '../../gpu-worker/model/phi-graph.ts'
import { encodingsOf, parsePrecision } from '../../gpu-worker/model/precision.ts'
import { encodedParts } from '../../gpu-worker/model/weight-encoding.ts'
import type { GgmlType } from './gguf-blocks.ts'

export interface BenchConfiguration {
  readonly name: string
  readonly compile: Pick<CompileOptions, 'precision' | 'blockSize'>
  /** llama.cpp's type of about as many bits. */
  readonly peer: GgmlType
}

export const benchConfigurations: readonly BenchConfiguration[] = [
  { name: 'int4-b128', compile: { precision: 'int4', blockSize: 128 }, peer: 'Q4_0' },
  { name: 'int4-b64', compile: { precision: 'int4', blockSize: 64 }, peer: 'Q4_0' },
  { name: 'int4-b32', compile: { precision: 'int4', blockSize: 32 }, peer: 'Q4_0' },
  { name: 'int8', compile: { precision: 'int8' }, peer: 'Q8_0' },
  { name: 'int8-b32', compile: { precision: 'int8', blockSize: 32 }, peer: 'Q8_0' },
  { name: 'fp32', compile: { precision: 'fp32' }, peer: 'F32' },
]

/** What a full run measures; the others on request. */
export const defaultConfigurations = ['int4-b128', 'int4-b32', 'int8'] as const

export function parameters(shape: PhiConfiguration): number {
  return [...phiTensors(shape).values()].reduce((sum, lengths) => sum + lengths.reduce((product, length) => product * length, 1), 0)
}

/** Parameters of which a decoding step reads all: not the embedding, of which it looks up a row. */
export function parametersPerStep(shape: PhiConfiguration): number {
  return parameters(shape) - shape.vocabularySize * shape.hiddenSize
}

/** Bytes of a compiled model's weights. */
export function compiledBytes(shape: PhiConfiguration, configuration: BenchConfiguration): number {
  return weightBytes(shape, configuration, () => true)
}

/** Bytes of weights that one decoding step of a compiled model reads. */
export function compiledBytesPerStep(shape: PhiConfiguration, configuration: BenchConfiguration): number {
  return weightBytes(shape, configuration, (name) => name !== 'embedding' && !name.startsWith('rotary.'))
}

function weightBytes(shape: PhiConfiguration, { compile }: BenchConfiguration, counts: (name: string) => boolean): number {
  const { weights } = phiGraph(shape, encodingsOf(parsePrecision(compile.precision, compile.blockSize)))
  return weights
    .filter(({ name }) => counts(name))
    .flatMap((each) => encodedParts(each.encoding, each.shape))
    .reduce((sum, part) => sum + tensorBytes(part.type, part.shape), 0)
}
