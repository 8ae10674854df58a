/**
 * A plain forward pass of PhiForCausalLM in float64, straight from a checkpoint's tensors: the independent judge of the
 * compiled graph. Written for clarity after the model's description (transformers, modeling_phi.py), it shares no code
 * with the compiler beyond reading the files, has no cache, and takes one whole sequence.
 */
import { readPhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { openCheckpoint } from '../../gpu-worker/model/safetensors.ts'

type Vector = Float64Array

/** Logits of every position: `logits[position][token]`. */
export type ReferenceModel = (tokens: readonly number[]) => Vector[]

/** Reads the whole checkpoint into memory; for tiny ones. */
export async function loadReferencePhi(folder: string): Promise<ReferenceModel> {
  const { hiddenSize, layers, heads, headSize, rotarySize, ropeTheta, layerNormEpsilon } = await readPhiConfiguration(folder)
  const checkpoint = await openCheckpoint(folder)
  const tensors = new Map<string, Vector>()
  try {
    for (const name of checkpoint.tensors.keys()) tensors.set(name, Float64Array.from(await checkpoint.readFloat32(name)))
  } finally {
    await checkpoint.close()
  }
  const tensor = (name: string): Vector => tensors.get(name)!

  const linear = (input: Vector, name: string): Vector => {
    const weight = tensor(`${name}.weight`)
    return tensor(`${name}.bias`).map((bias, output) => {
      let sum = bias
      for (let index = 0; index < input.length; index++) sum += weight[output * input.length + index]! * input[index]!
      return sum
    })
  }

  const layerNorm = (input: Vector, name: string): Vector => {
    const mean = input.reduce((sum, value) => sum + value, 0) / input.length
    const variance = input.reduce((sum, value) => sum + (value - mean) ** 2, 0) / input.length
    const scale = 1 / Math.sqrt(variance + layerNormEpsilon)
    const weight = tensor(`${name}.weight`)
    const bias = tensor(`${name}.bias`)
    return input.map((value, index) => (value - mean) * scale * weight[index]! + bias[index]!)
  }

  /** Turns the pairs (i, i + R/2) of every head by position * theta^(-2i/R). */
  const rotate = (input: Vector, position: number): Vector => {
    const output = input.slice()
    const half = rotarySize / 2
    for (let head = 0; head < heads; head++) {
      for (let index = 0; index < half; index++) {
        const first = head * headSize + index
        const second = first + half
        const angle = position / ropeTheta ** ((2 * index) / rotarySize)
        output[first] = input[first]! * Math.cos(angle) - input[second]! * Math.sin(angle)
        output[second] = input[second]! * Math.cos(angle) + input[first]! * Math.sin(angle)
      }
    }
    return output
  }

  const attend = (queries: Vector[], keys: Vector[], values: Vector[], position: number): Vector => {
    const output = new Float64Array(hiddenSize)
    for (let head = 0; head < heads; head++) {
      const dimensions = Array.from({ length: headSize }, (_, index) => head * headSize + index)
      const scores = keys
        .slice(0, position + 1)
        .map((key) => dimensions.reduce((sum, at) => sum + queries[position]![at]! * key[at]!, 0) / Math.sqrt(headSize))
      const highest = Math.max(...scores)
      const exponentials = scores.map((score) => Math.exp(score - highest))
      const total = exponentials.reduce((sum, value) => sum + value, 0)
      for (const at of dimensions) {
        output[at] = exponentials.reduce((sum, value, other) => sum + (value / total) * values[other]![at]!, 0)
      }
    }
    return output
  }

  const geluNew = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))

  return (tokens) => {
    const embedding = tensor('model.embed_tokens.weight')
    let residual = tokens.map((token) => embedding.slice(token * hiddenSize, (token + 1) * hiddenSize))
    for (let layer = 0; layer < layers; layer++) {
      const prefix = `model.layers.${layer}`
      const normed = residual.map((row) => layerNorm(row, `${prefix}.input_layernorm`))
      const queries = normed.map((row, position) => rotate(linear(row, `${prefix}.self_attn.q_proj`), position))
      const keys = normed.map((row, position) => rotate(linear(row, `${prefix}.self_attn.k_proj`), position))
      const values = normed.map((row) => linear(row, `${prefix}.self_attn.v_proj`))
      residual = residual.map((row, position) => {
        const attention = linear(attend(queries, keys, values, position), `${prefix}.self_attn.dense`)
        const mlp = linear(linear(normed[position]!, `${prefix}.mlp.fc1`).map(geluNew), `${prefix}.mlp.fc2`)
        return row.map((value, index) => value + attention[index]! + mlp[index]!)
      })
    }
    return residual.map((row) => linear(layerNorm(row, 'model.final_layernorm'), 'lm_head'))
  }
}
