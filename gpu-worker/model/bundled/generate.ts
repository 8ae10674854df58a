/**
 * Makes phi-mini, the bundled checkpoint: `node gpu-worker/model/bundled/generate.ts`, a minute or two, always the
 * same result. It is a real PhiForCausalLM checkpoint whose first layer is built and whose second is trained:
 *
 * - Each token has a state of +1 and -1 in the first of six slots of the residual (embed_tokens).
 * - Layer 0: head d attends to the token d+1 before and copies its state into slot d+1. Queries and keys are constants
 *   (their biases), and rotary embedding makes their product highest at that distance: with angles theta_i per step it
 *   is the sum of cos((distance - wanted) * theta_i). Where there is no such token, the first one is taken.
 * - Layer 1: the MLP, the final LayerNorm and lm_head turn the six states into the next token (train-network.ts).
 *
 * So it sees six tokens and no more; the other matrices are zero. It shows the system at work and nothing else.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { byteLevelTokenizer } from '../byte-level-tokenizer.ts'
import { phiTensors } from '../phi-configuration.ts'
import type { PhiConfiguration } from '../phi-configuration.ts'
import { writeCheckpointFiles } from '../random-checkpoint.ts'
import { balancedSigns, uniformGenerator } from '../random-numbers.ts'
import { writeSafetensors } from '../safetensors-writer.ts'
import { learnMerges } from './byte-pair-training.ts'
import { corpus } from './corpus.ts'
import { trainNetwork } from './train-network.ts'
import type { Example, Network } from './train-network.ts'

const slots = 6
const stateWidth = 32
const hidden = slots * stateWidth
const layerNormEpsilon = 1e-5
/** Product of a query's and a key's length at the wanted distance: the right token gets all but e^-12 of the attention. */
const sharpness = 100

const tokenizer = byteLevelTokenizer({ merges: learnMerges(corpus, 511) })
const configuration: PhiConfiguration = {
  hiddenSize: hidden,
  intermediateSize: 768,
  layers: 2,
  heads: slots,
  headSize: stateWidth,
  rotarySize: stateWidth,
  ropeTheta: 10_000,
  layerNormEpsilon,
  contextLength: 1024,
  vocabularySize: tokenizer.size,
  endTokens: [tokenizer.endOfTextToken],
}

const uniform = uniformGenerator(1)
const states = Array.from({ length: tokenizer.size }, () => balancedSigns(stateWidth, uniform))
const network = trainNetwork({
  shape: { hidden, intermediate: configuration.intermediateSize, vocabulary: tokenizer.size },
  examples: makeExamples(),
  states,
  epochs: 24,
  seed: 2,
  onEpoch: (epoch, loss) => process.stderr.write(`epoch ${epoch}: loss ${loss.toFixed(3)}\n`),
})
const folder = join(import.meta.dirname, 'phi-mini')
await mkdir(folder, { recursive: true })
await writeCheckpointFiles(folder, configuration, 'F16', tokenizer.json)
await writeSafetensors({ folder, shapes: phiTensors(configuration), type: 'F16', values: (name, shape) => tensorValues(name, shape, network) })
await writeFile(join(folder, 'README.md'), modelCard())

function makeExamples(): Example[] {
  const encoder = new Tokenizer(tokenizer.json, {})
  return corpus.flatMap((text) => {
    const tokens = [...encoder.encode(text).ids, tokenizer.endOfTextToken]
    return tokens.slice(1).map((next, position) => ({
      next,
      context: Array.from({ length: slots }, (_, distance) => tokens[Math.max(0, position - distance)]!),
    }))
  })
}

function tensorValues(name: string, shape: readonly number[], { fc1, fc2, head }: Network): Float32Array {
  const trained: Record<string, Float32Array> = {
    'model.layers.1.mlp.fc1.weight': fc1.weight.values,
    'model.layers.1.mlp.fc1.bias': fc1.bias.values,
    'model.layers.1.mlp.fc2.weight': fc2.weight.values,
    'model.layers.1.mlp.fc2.bias': fc2.bias.values,
    'lm_head.weight': head.weight.values,
    'lm_head.bias': head.bias.values,
  }
  const values = trained[name] ?? new Float32Array(shape.reduce((product, length) => product * length, 1))
  if (name.endsWith('layernorm.weight')) values.fill(1)
  if (name === 'model.embed_tokens.weight') states.forEach((state, token) => values.set(state, token * hidden))
  if (name === 'model.layers.0.self_attn.q_proj.bias') values.set(headBiases((distance, angle) => -distance * angle))
  if (name === 'model.layers.0.self_attn.k_proj.bias') values.set(headBiases(() => 0))
  if (name === 'model.layers.0.self_attn.v_proj.weight') copySlots(values, (slot) => [slot, 0], 1)
  // LayerNorm has stretched the one filled slot of six to variance 1 over all; this takes it back.
  if (name === 'model.layers.0.self_attn.dense.weight') copySlots(values, (slot) => [slot + 1, slot], Math.sqrt(1 / slots + layerNormEpsilon))
  return values
}

/** Per head, pairs (i, i + 16) of one length and the given phase, so that queries and keys multiply to cos of the difference. */
function headBiases(phase: (distance: number, anglePerStep: number) => number): Float32Array {
  const half = stateWidth / 2
  const length = Math.sqrt(sharpness)
  const biases = new Float32Array(hidden)
  for (let head = 0; head < slots; head++) {
    for (let index = 0; index < half; index++) {
      const turn = phase(head + 1, configuration.ropeTheta ** (-index / half))
      biases[head * stateWidth + index] = length * Math.cos(turn)
      biases[head * stateWidth + half + index] = length * Math.sin(turn)
    }
  }
  return biases
}

/** Writes `factor` times the identity from slot `from` to slot `to` for each of the first five heads. */
function copySlots(matrix: Float32Array, place: (slot: number) => readonly [to: number, from: number], factor: number): void {
  for (let slot = 0; slot < slots - 1; slot++) {
    const [to, from] = place(slot)
    for (let index = 0; index < stateWidth; index++) matrix[(to * stateWidth + index) * hidden + from * stateWidth + index] = factor
  }
}

function modelCard(): string {
  return `---
license: mit
library_name: transformers
pipeline_tag: text-generation
---
# phi-mini

A PhiForCausalLM checkpoint of ${configuration.layers} layers and ${hidden} dimensions, made by \`gpu-worker/model/bundled/generate.ts\` from a few pages
of text written for this project. It sees six tokens back. It shows the system at work without a download; it knows
nothing, repeats its few texts, and must not be used for anything else. It shares its architecture with microsoft/phi-2 and
no weights.
`
}
