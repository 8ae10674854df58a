/**
 * A Phi checkpoint as a GGUF file of llama.cpp's architecture `phi2`, so that the peer computes the same model from the
 * same weights. Key and tensor names are those of llama.cpp (src/llama-arch.cpp, `LLM_ARCH_PHI2`; its graph is
 * src/models/phi2.cpp): q, k and v in one matrix, rotary embedding by halves as transformers has it, tanh GELU.
 *
 * All matrices get the same type, the embedding and the output too, as `llama-quantize --pure` does: that is fewer bytes per
 * token than its default mixture, and therefore the faster peer. Norms and biases stay float32, as there.
 */
import { byteLevelTokenizer } from '../../gpu-worker/model/byte-level-tokenizer.ts'
import { phiTensors, readPhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import type { PhiConfiguration } from '../../gpu-worker/model/phi-configuration.ts'
import { openCheckpoint } from '../../gpu-worker/model/safetensors.ts'
import { toFloat32 } from '../../gpu-worker/model/tensor-types.ts'
import { encodeWeights } from './gguf-blocks.ts'
import type { GgmlType } from './gguf-blocks.ts'
import { tensorBytes, writeGguf } from './gguf-file.ts'
import type { MetadataValue } from './gguf-file.ts'

/** `llama_ftype` of llama.h. */
const fileTypes: Record<GgmlType, number> = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 7 }

/** Kinds of tokens in `llama_token_type`. */
const tokenTypes = { normal: 1, control: 3, unused: 5 } as const

interface TensorPlan {
  readonly name: string
  readonly type: GgmlType
  readonly shape: readonly number[]
  /** Names in the checkpoint; their rows one after another. */
  readonly sources: readonly string[]
}

export interface PhiGgufOptions {
  /** A checkpoint in Hugging Face's layout. Its tokenizer is not taken along: tokens are numbers here. */
  readonly checkpoint: string
  readonly path: string
  /** Of the matrices, whose rows must be a multiple of 32 for a quantised type. */
  readonly type: GgmlType
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void
}

/** Throws `ModelError` for a checkpoint that can not be read. The file appears complete or not at all. */
export async function writePhiGguf({ checkpoint: folder, path, type, onProgress }: PhiGgufOptions): Promise<void> {
  const configuration = await readPhiConfiguration(folder)
  const plans = planTensors(configuration, type)
  const totalBytes = plans.reduce((sum, plan) => sum + tensorBytes(plan), 0)
  const checkpoint = await openCheckpoint(folder)
  let doneBytes = 0
  try {
    await writeGguf({
      path,
      metadata: describe(configuration, type),
      tensors: plans.map((plan) => ({
        ...plan,
        async *bytes() {
          for (const source of plan.sources) {
            const tensor = checkpoint.tensors.get(source)
            if (tensor === undefined) throw new Error(`The checkpoint lacks the tensor ${source}.`)
            for await (const chunk of checkpoint.chunks(source)) yield encodeWeights(plan.type, toFloat32(tensor.type, chunk))
          }
        },
      })),
      onBytes: (bytes) => onProgress?.((doneBytes += bytes), totalBytes),
    })
  } finally {
    await checkpoint.close()
  }
}

/** Bytes of weights that one decoding step reads: all of them but the embedding, of which it takes one row a token. */
export function bytesPerStep(configuration: PhiConfiguration, type: GgmlType): number {
  return planTensors(configuration, type)
    .filter(({ name }) => name !== 'token_embd.weight')
    .reduce((sum, plan) => sum + tensorBytes(plan), 0)
}

/** Bytes of the whole file, but for its metadata. */
export function ggufBytes(configuration: PhiConfiguration, type: GgmlType): number {
  return planTensors(configuration, type).reduce((sum, plan) => sum + tensorBytes(plan), 0)
}

function planTensors(configuration: PhiConfiguration, type: GgmlType): TensorPlan[] {
  const shapes = phiTensors(configuration)
  const plan = (name: string, sources: readonly string[]): TensorPlan => {
    const [rows, ...rest] = shapes.get(sources[0]!)!
    return { name, sources, shape: [rows! * sources.length, ...rest], type: rest.length === 0 ? 'F32' : type }
  }
  const pair = (name: string, sources: readonly string[]): TensorPlan[] =>
    ['weight', 'bias'].map((part) => plan(`${name}.${part}`, sources.map((source) => `${source}.${part}`)))
  return [
    plan('token_embd.weight', ['model.embed_tokens.weight']),
    ...Array.from({ length: configuration.layers }, (_, layer) => {
      const [source, name] = [`model.layers.${layer}`, `blk.${layer}`]
      return [
        ...pair(`${name}.attn_norm`, [`${source}.input_layernorm`]),
        ...pair(`${name}.attn_qkv`, ['q', 'k', 'v'].map((part) => `${source}.self_attn.${part}_proj`)),
        ...pair(`${name}.attn_output`, [`${source}.self_attn.dense`]),
        ...pair(`${name}.ffn_up`, [`${source}.mlp.fc1`]),
        ...pair(`${name}.ffn_down`, [`${source}.mlp.fc2`]),
      ]
    }).flat(),
    ...pair('output_norm', ['model.final_layernorm']),
    ...pair('output', ['lm_head']),
  ]
}

function describe(configuration: PhiConfiguration, type: GgmlType): Record<string, MetadataValue> {
  const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value })
  const float32 = (value: number): MetadataValue => ({ type: 'float32', value })
  const text = (value: string): MetadataValue => ({ type: 'string', value })
  const { tokens, types, endToken } = vocabulary(configuration.vocabularySize)
  return {
    'general.architecture': text('phi2'),
    'general.name': text('random weights'),
    'general.file_type': uint32(fileTypes[type]),
    'general.quantization_version': uint32(2),
    'phi2.context_length': uint32(configuration.contextLength),
    'phi2.embedding_length': uint32(configuration.hiddenSize),
    'phi2.feed_forward_length': uint32(configuration.intermediateSize),
    'phi2.block_count': uint32(configuration.layers),
    'phi2.attention.head_count': uint32(configuration.heads),
    'phi2.attention.head_count_kv': uint32(configuration.heads),
    'phi2.attention.layer_norm_epsilon': float32(configuration.layerNormEpsilon),
    'phi2.rope.dimension_count': uint32(configuration.rotarySize),
    'phi2.rope.freq_base': float32(configuration.ropeTheta),
    'tokenizer.ggml.model': text('gpt2'),
    'tokenizer.ggml.pre': text('gpt-2'),
    'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
    'tokenizer.ggml.token_type': { type: 'int32s', value: types },
    'tokenizer.ggml.merges': { type: 'strings', value: [] },
    'tokenizer.ggml.bos_token_id': uint32(endToken),
    'tokenizer.ggml.eos_token_id': uint32(endToken),
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: false },
  }
}

/** The 256 bytes and `<|endoftext|>`, which llama.cpp asks for, and as many entries that no text produces as are missing. */
function vocabulary(size: number): { readonly tokens: readonly string[]; readonly types: readonly number[]; readonly endToken: number } {
  const { idOf, endOfTextToken } = byteLevelTokenizer()
  const known = [...idOf.keys()]
  return {
    tokens: Array.from({ length: size }, (_, token) => known[token] ?? `<|unused-${token}|>`),
    types: Array.from({ length: size }, (_, token) => (token === endOfTextToken ? tokenTypes.control : token < known.length ? tokenTypes.normal : tokenTypes.unused)),
    endToken: endOfTextToken,
  }
}
