/**
 * `config.json` of a PhiForCausalLM checkpoint, read into the few numbers that decide the forward pass. A setting that
 * would change the forward pass in a way we do not compute is refused here, so that no checkpoint runs with wrong logits.
 * Field names and defaults: transformers, `PhiConfig` (https://huggingface.co/docs/transformers/model_doc/phi).
 */
import { join } from 'node:path'
import { z } from 'zod'
import { modelError } from './model-error.ts'
import { readJsonFile } from './read-json.ts'

const size = z.int().positive()
const endTokensSchema = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish()

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().gt(0).max(1).optional(),
})

const configSchema = z.looseObject({
  architectures: z.array(z.string()).nullish(),
  model_type: z.string(),
  hidden_size: size.max(65_536),
  intermediate_size: size.max(1_048_576),
  num_hidden_layers: size.max(1_024),
  num_attention_heads: size.max(4_096),
  num_key_value_heads: size.nullish(),
  partial_rotary_factor: z.number().gt(0).max(1).optional(),
  rope_theta: z.number().positive().optional(),
  rope_parameters: ropeSchema.nullish(),
  rope_scaling: ropeSchema.nullish(),
  layer_norm_eps: z.number().positive().default(1e-5),
  max_position_embeddings: size.max(1_048_576).default(2048),
  vocab_size: size.max(4_194_304),
  hidden_act: z.string().default('gelu_new'),
  qk_layernorm: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  eos_token_id: endTokensSchema,
})

const generationConfigSchema = z.looseObject({ eos_token_id: endTokensSchema })

export interface PhiConfiguration {
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly layers: number
  readonly heads: number
  /** hiddenSize / heads. */
  readonly headSize: number
  /** The first so many dimensions of each head are rotated; even. */
  readonly rotarySize: number
  readonly ropeTheta: number
  readonly layerNormEpsilon: number
  readonly contextLength: number
  readonly vocabularySize: number
  readonly endTokens: readonly number[]
}

/**
 * Reads config.json and generation_config.json of the folder. Throws `ModelError`: `not-found` without a config.json,
 * `damaged` for bad JSON, `unsupported` for anything that is not the Phi that we compute.
 */
export async function readPhiConfiguration(folder: string): Promise<PhiConfiguration> {
  const path = join(folder, 'config.json')
  const config = await readJsonFile(path, configSchema)
  if (config === undefined) {
    throw modelError('not-found', `${folder} is not a Hugging Face checkpoint: it has no config.json.`)
  }
  const refuse = (reason: string): never => {
    throw modelError('unsupported', `${path} can not be used: ${reason}.`)
  }
  const architecture = config.architectures?.[0]
  if (architecture !== undefined ? architecture !== 'PhiForCausalLM' : config.model_type !== 'phi') {
    refuse(`it describes ${architecture ?? config.model_type}, and only PhiForCausalLM is supported`)
  }
  if (config.hidden_act !== 'gelu_new') refuse(`hidden_act is ${config.hidden_act}, and only gelu_new is supported`)
  if (config.qk_layernorm) refuse('qk_layernorm is true, which is not supported')
  if (config.tie_word_embeddings) refuse('tie_word_embeddings is true, which is not supported')
  const heads = config.num_attention_heads
  if ((config.num_key_value_heads ?? heads) !== heads) {
    refuse(`num_key_value_heads (${config.num_key_value_heads}) differs from num_attention_heads (${heads}), which is not supported`)
  }
  if (config.hidden_size % heads !== 0) refuse(`hidden_size ${config.hidden_size} is not a multiple of num_attention_heads ${heads}`)

  const rope = config.rope_parameters ?? config.rope_scaling ?? undefined
  const ropeType = rope?.rope_type ?? rope?.type ?? 'default'
  if (ropeType !== 'default') refuse(`its rotary embedding is of type ${ropeType}, and only default is supported`)
  const headSize = config.hidden_size / heads
  const factor = rope?.partial_rotary_factor ?? config.partial_rotary_factor ?? 0.5
  const rotarySize = Math.trunc(headSize * factor)
  if (rotarySize < 2 || rotarySize % 2 !== 0) {
    refuse(`partial_rotary_factor ${factor} gives ${rotarySize} rotary dimensions of ${headSize}; it must be an even number above 0`)
  }

  const generation = await readJsonFile(join(folder, 'generation_config.json'), generationConfigSchema)
  const endTokens = asList(generation?.eos_token_id ?? config.eos_token_id)
  const beyond = endTokens.find((token) => token >= config.vocab_size)
  if (beyond !== undefined) refuse(`eos_token_id ${beyond} is not below vocab_size ${config.vocab_size}`)

  return {
    hiddenSize: config.hidden_size,
    intermediateSize: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads,
    headSize,
    rotarySize,
    ropeTheta: rope?.rope_theta ?? config.rope_theta ?? 10_000,
    layerNormEpsilon: config.layer_norm_eps,
    contextLength: config.max_position_embeddings,
    vocabularySize: config.vocab_size,
    endTokens,
  }
}

/** The config.json that `readPhiConfiguration` reads back as `configuration`, in the layout that transformers writes. */
export function phiConfigJson(configuration: PhiConfiguration, dtype: 'float32' | 'float16' | 'bfloat16'): Record<string, unknown> {
  return {
    architectures: ['PhiForCausalLM'],
    attention_dropout: 0,
    bos_token_id: configuration.endTokens[0] ?? null,
    embd_pdrop: 0,
    eos_token_id: configuration.endTokens.length === 1 ? configuration.endTokens[0] : configuration.endTokens,
    hidden_act: 'gelu_new',
    hidden_size: configuration.hiddenSize,
    initializer_range: 0.02,
    intermediate_size: configuration.intermediateSize,
    layer_norm_eps: configuration.layerNormEpsilon,
    max_position_embeddings: configuration.contextLength,
    model_type: 'phi',
    num_attention_heads: configuration.heads,
    num_hidden_layers: configuration.layers,
    num_key_value_heads: configuration.heads,
    partial_rotary_factor: configuration.rotarySize / configuration.headSize,
    qk_layernorm: false,
    resid_pdrop: 0,
    rope_scaling: null,
    rope_theta: configuration.ropeTheta,
    tie_word_embeddings: false,
    torch_dtype: dtype,
    use_cache: true,
    vocab_size: configuration.vocabularySize,
  }
}

/** Name and shape of every tensor of the checkpoint, as transformers names them; matrices are [out, in]. */
export function phiTensors(configuration: PhiConfiguration): Map<string, readonly number[]> {
  const { hiddenSize, intermediateSize, vocabularySize, layers } = configuration
  const shapes = new Map<string, readonly number[]>()
  const linear = (name: string, outputs: number, inputs: number): void => {
    shapes.set(`${name}.weight`, [outputs, inputs]).set(`${name}.bias`, [outputs])
  }
  const norm = (name: string): void => {
    shapes.set(`${name}.weight`, [hiddenSize]).set(`${name}.bias`, [hiddenSize])
  }
  shapes.set('model.embed_tokens.weight', [vocabularySize, hiddenSize])
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`
    norm(`${prefix}.input_layernorm`)
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'dense']) linear(`${prefix}.self_attn.${part}`, hiddenSize, hiddenSize)
    linear(`${prefix}.mlp.fc1`, intermediateSize, hiddenSize)
    linear(`${prefix}.mlp.fc2`, hiddenSize, intermediateSize)
  }
  norm('model.final_layernorm')
  linear('lm_head', vocabularySize, hiddenSize)
  return shapes
}

function asList(tokens: z.infer<typeof endTokensSchema>): readonly number[] {
  return tokens === null || tokens === undefined ? [] : typeof tokens === 'number' ? [tokens] : [...new Set(tokens)]
}
