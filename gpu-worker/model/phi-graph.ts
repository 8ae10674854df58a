/**
 * The Phi forward pass as an ONNX graph, with a KV cache and ragged batches; manifest.ts lists its inputs and outputs.
 * Per layer, h = x + attention(LN(x)) + mlp(LN(x)) with one LayerNorm (transformers, modeling_phi.py). All positions of
 * all sequences are rows of one [B*S, hidden] matrix except inside attention. Linear layers take the checkpoint's
 * [out, in] matrices, so that q, k and v pack by being written one after another; what they are made of is
 * linear-layer.ts's business. Attention is in float32 whatever the weights are: Phi's scores overflow float16.
 *
 * Attention is GroupQueryAttention where its CPU kernel takes the shape, else plain operators of the same meaning (see
 * plain-attention.ts). This file decides the graph and knows nothing of files or checkpoints.
 */
import { graphBuilder } from './graph-builder.ts'
import type { GraphBuilder } from './graph-builder.ts'
import { linearLayers } from './linear-layer.ts'
import type { GraphNode, Initializer, OnnxGraph, ValueInfo } from './onnx-writer.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import { plainAttention, plainAttentionInputs } from './plain-attention.ts'
import type { ModelEncodings } from './precision.ts'
import { encodedParts } from './weight-encoding.ts'
import type { WeightEncoding } from './weight-encoding.ts'

/** A matrix or list in weights.bin: rows of checkpoint tensors one after another, or the table of rotary angles. */
export interface Weights {
  readonly name: string
  readonly shape: readonly number[]
  /** Of a list: float32. */
  readonly encoding: WeightEncoding
  readonly source: { readonly kind: 'checkpoint'; readonly tensors: readonly string[] } | { readonly kind: 'rotary'; readonly part: 'cos' | 'sin' }
}

export interface PhiGraph {
  /** In the order in which they lie in weights.bin. */
  readonly weights: readonly Weights[]
  /** True when the present buffers may be the past buffers. */
  readonly kvInPlace: boolean
  /** The graph, given the offset in weights.bin of each ONNX tensor that the weights are encoded to. */
  build(offsetOf: (name: string) => number): OnnxGraph
}

/** GroupQueryAttention on the CPU asks for heads of a multiple of 16 and rotary halves of a multiple of 8. */
export function suitsGroupQueryAttention({ headSize, rotarySize }: PhiConfiguration): boolean {
  return headSize % 16 === 0 && (rotarySize / 2) % 8 === 0
}

export function phiGraph(configuration: PhiConfiguration, encodings: ModelEncodings): PhiGraph {
  const weights = allWeights(configuration, encodings)
  const kvInPlace = suitsGroupQueryAttention(configuration)
  return {
    weights,
    kvInPlace,
    build: (offsetOf) => {
      const nodes: GraphNode[] = []
      const initializers: Initializer[] = weights.flatMap(({ name, shape, encoding }) =>
        encodedParts(encoding, shape).map((part): Initializer => {
          const tensor = name + part.suffix
          return { name: tensor, kind: 'external', type: part.type, shape: part.shape, offset: offsetOf(tensor) }
        }),
      )
      addNodes(graphBuilder(nodes, initializers), configuration, encodings)
      const { layers, heads, headSize, vocabularySize } = configuration
      const cache = (prefix: string): ValueInfo[] =>
        Array.from({ length: layers }, (_, layer) =>
          ['k', 'v'].map((part): ValueInfo => ({
            name: `${prefix}_${part}.${layer}`, type: 'float32', shape: ['batch', heads, 'slot_length', headSize],
          })),
        ).flat()
      return {
        name: 'phi',
        nodes,
        initializers,
        inputs: [
          { name: 'input_ids', type: 'int64', shape: ['batch', 'new_tokens'] },
          { name: 'bs', type: 'int64', shape: [3] },
          { name: 'seqlens_k', type: 'int32', shape: ['batch'] },
          { name: 'total_seq', type: 'int32', shape: [] },
          { name: 'logit_idx', type: 'int64', shape: ['logit_rows'] },
          ...cache('past'),
        ],
        outputs: [{ name: 'logits', type: 'float32', shape: ['logit_rows', vocabularySize] }, ...cache('present')],
      }
    },
  }
}

const float32: WeightEncoding = { kind: 'float32' }

function allWeights(
  { hiddenSize, intermediateSize, vocabularySize, layers, contextLength, rotarySize }: PhiConfiguration,
  { embedding, layers: layerEncoding, head }: ModelEncodings,
): Weights[] {
  const copy = (name: string, shape: readonly number[], tensors: readonly string[], encoding = float32): Weights => ({
    name, shape, encoding, source: { kind: 'checkpoint', tensors },
  })
  const pair = (name: string, source: string, shape: readonly number[], encoding = float32): Weights[] => [
    copy(`${name}.weight`, shape, [`${source}.weight`], encoding),
    copy(`${name}.bias`, shape.slice(0, 1), [`${source}.bias`]),
  ]
  const rotary = (part: 'cos' | 'sin'): Weights => ({
    name: `rotary.${part}`, shape: [contextLength, rotarySize / 2], encoding: float32, source: { kind: 'rotary', part },
  })
  return [
    copy('embedding', [vocabularySize, hiddenSize], ['model.embed_tokens.weight'], embedding),
    rotary('cos'),
    rotary('sin'),
    ...Array.from({ length: layers }, (_, layer) => {
      const source = `model.layers.${layer}`
      const name = `layer.${layer}`
      const packed = (suffix: string): string[] => ['q', 'k', 'v'].map((part) => `${source}.self_attn.${part}_proj.${suffix}`)
      return [
        ...pair(`${name}.norm`, `${source}.input_layernorm`, [hiddenSize]),
        copy(`${name}.qkv.weight`, [3 * hiddenSize, hiddenSize], packed('weight'), layerEncoding),
        copy(`${name}.qkv.bias`, [3 * hiddenSize], packed('bias')),
        ...pair(`${name}.dense`, `${source}.self_attn.dense`, [hiddenSize, hiddenSize], layerEncoding),
        ...pair(`${name}.fc1`, `${source}.mlp.fc1`, [intermediateSize, hiddenSize], layerEncoding),
        ...pair(`${name}.fc2`, `${source}.mlp.fc2`, [hiddenSize, intermediateSize], layerEncoding),
      ]
    }).flat(),
    ...pair('final_norm', 'model.final_layernorm', [hiddenSize]),
    ...pair('lm_head', 'lm_head', [vocabularySize, hiddenSize], head),
  ]
}

/** In the comments T = B*S rows, H hidden size, I intermediate size, V vocabulary. */
function addNodes(graph: GraphBuilder, configuration: PhiConfiguration, encodings: ModelEncodings): void {
  const { hiddenSize, intermediateSize, vocabularySize, layers, heads, layerNormEpsilon } = configuration
  const linear = linearLayers(graph, encodings.layers)
  const norm = (output: string, input: string, weights: string): string =>
    graph.node(output, 'LayerNormalization', [input, `${weights}.weight`, `${weights}.bias`], {
      axis: -1,
      epsilon: { float: layerNormEpsilon },
    })
  const rows = graph.integers('rows_shape', [-1, hiddenSize])
  const usesGroupQueryAttention = suitsGroupQueryAttention(configuration)
  const shared = usesGroupQueryAttention ? undefined : plainAttentionInputs(graph)

  const found = graph.node('embedded', 'Gather', ['embedding', 'input_ids']) // [B, S, H]
  const embedded = encodings.embedding.kind === 'float32' ? found : graph.node('embedded.f32', 'Cast', [found], { to: 1 })
  let residual = graph.node('residual.0', 'Reshape', [embedded, rows]) // [T, H]
  for (let layer = 0; layer < layers; layer++) {
    const name = `layer.${layer}`
    const normed = norm(`${name}.normed`, residual, `${name}.norm`)
    const qkvRows = linear({ output: `${name}.qkv_rows`, input: normed, weights: `${name}.qkv`, shape: [3 * hiddenSize, hiddenSize] })
    const qkv = graph.node(`${name}.qkv_batch`, 'Reshape', [qkvRows, 'bs']) // [B, S, 3H]
    const cache = { pastKey: `past_k.${layer}`, pastValue: `past_v.${layer}`, presentKey: `present_k.${layer}`, presentValue: `present_v.${layer}` }
    const attended = `${name}.attended` // [B, S, H]
    if (shared === undefined) {
      graph.microsoft(
        [attended, cache.presentKey, cache.presentValue],
        'GroupQueryAttention',
        [qkv, '', '', cache.pastKey, cache.pastValue, 'seqlens_k', 'total_seq', 'rotary.cos', 'rotary.sin'],
        { num_heads: heads, kv_num_heads: heads, do_rotary: 1, rotary_interleaved: 0 },
      )
    } else {
      plainAttention(graph, { name, qkv, attended, cache, configuration, shared })
    }
    const attendedRows = graph.node(`${name}.attended_rows`, 'Reshape', [attended, rows])
    const dense = linear({ output: `${name}.dense_out`, input: attendedRows, weights: `${name}.dense`, shape: [hiddenSize, hiddenSize] })
    const expanded = linear({ output: `${name}.fc1_out`, input: normed, weights: `${name}.fc1`, shape: [intermediateSize, hiddenSize] })
    graph.microsoft([`${name}.activated`], 'FastGelu', [expanded])
    const contracted = linear({ output: `${name}.fc2_out`, input: `${name}.activated`, weights: `${name}.fc2`, shape: [hiddenSize, intermediateSize] })
    const branches = graph.node(`${name}.branches`, 'Add', [dense, contracted])
    residual = graph.node(`residual.${layer + 1}`, 'Add', [residual, branches])
  }
  const wanted = graph.node('wanted_rows', 'Gather', [residual, 'logit_idx'], { axis: 0 }) // [R, H]
  const finalNormed = norm('final_normed', wanted, 'final_norm')
  linearLayers(graph, encodings.head)({ output: 'logits', input: finalNormed, weights: 'lm_head', shape: [vocabularySize, hiddenSize] }) // [R, V]
}
