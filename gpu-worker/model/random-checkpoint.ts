/**
 * Writes a checkpoint with random weights in Hugging Face format, a pure function of its configuration and seed. Each
 * weight matrix has a standard deviation of 1/sqrt(inputs) (0.02 at phi-2's width), and biases and norms are random
 * too, so that every part of the forward pass shows in the logits. For tests and benches; it says nothing sensible.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { byteLevelTokenizer } from './byte-level-tokenizer.ts'
import { phiConfigJson, phiTensors } from './phi-configuration.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import { normalGenerator } from './random-numbers.ts'
import { writeSafetensors } from './safetensors-writer.ts'
import type { TensorType } from './tensor-types.ts'

const pieceElements = 1 << 20

export interface RandomCheckpoint {
  readonly folder: string
  readonly configuration: PhiConfiguration
  readonly seed: number
  readonly type?: TensorType
  readonly shards?: number
}

/** A small configuration, to be changed where a test needs it; the vocabulary is the 256 bytes and `<|endoftext|>`. */
export const tinyConfiguration: PhiConfiguration = {
  hiddenSize: 64,
  intermediateSize: 256,
  layers: 2,
  heads: 2,
  headSize: 32,
  rotarySize: 16,
  ropeTheta: 10_000,
  layerNormEpsilon: 1e-5,
  contextLength: 256,
  vocabularySize: 257,
  endTokens: [256],
}

/** Makes the folder when it is missing. Throws when the vocabulary can not hold the 256 bytes and `<|endoftext|>`. */
export async function writeRandomCheckpoint({ folder, configuration, seed, type = 'F32', shards = 1 }: RandomCheckpoint): Promise<void> {
  const tokenizer = byteLevelTokenizer()
  if (configuration.vocabularySize < tokenizer.size) throw new Error(`A vocabulary needs at least ${tokenizer.size} tokens.`)
  const normal = normalGenerator(seed)
  await mkdir(folder, { recursive: true })
  await writeCheckpointFiles(folder, configuration, type, tokenizer.json)
  await writeSafetensors({
    folder,
    shapes: phiTensors(configuration),
    type,
    shards,
    values: (name, shape) => {
      const isNormWeight = name.endsWith('layernorm.weight')
      const deviation = shape.length === 1 ? 0.1 : name.startsWith('model.embed_tokens') ? 1 : 1 / Math.sqrt(shape[1]!)
      // Logits with a deviation of 2 are about as peaked as those of a small trained model.
      const scale = name === 'lm_head.weight' ? 2 * deviation : deviation
      return randomPieces(shape.reduce((product, length) => product * length, 1), () => (isNormWeight ? 1 : 0) + scale * normal())
    },
  })
}

function* randomPieces(count: number, next: () => number): Generator<Float32Array> {
  for (let done = 0; done < count; done += pieceElements) {
    const values = new Float32Array(Math.min(pieceElements, count - done))
    for (let index = 0; index < values.length; index++) values[index] = next()
    yield values
  }
}

/** config.json, generation_config.json, tokenizer.json and tokenizer_config.json: all of a checkpoint but the weights. */
export async function writeCheckpointFiles(
  folder: string,
  configuration: PhiConfiguration,
  type: TensorType,
  tokenizer: Record<string, unknown>,
): Promise<void> {
  const dtype = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const
  const [endToken] = configuration.endTokens
  const files: Record<string, unknown> = {
    'config.json': phiConfigJson(configuration, dtype[type]),
    'generation_config.json': { eos_token_id: endToken ?? null },
    'tokenizer.json': tokenizer,
    'tokenizer_config.json': { tokenizer_class: 'CodeGenTokenizer', add_prefix_space: false, model_max_length: configuration.contextLength },
  }
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(folder, file), `${JSON.stringify(content, null, 1)}\n`)
  }
}
