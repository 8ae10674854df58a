/**
 * The Phi forward pass as an ONNX graph, with a KV cache and ragged batches; manifest.ts lists its inputs and outputs.
 * Per layer, h = x + attention(LN(x)) + mlp(LN(x)) with one LayerNorm (transformers, modeling_phi.py). All positions of
 * all sequences are rows of one [B*S, hidden] matrix except inside attention. Linear layers are Gemm with transB, so the
 * checkpoint's [out, in] matrices are used as they lie on disk and q, k and v pack by being written one after another.
 *
 * Attention is GroupQueryAttention where its CPU kernel takes the shape, else plain operators of the same meaning (see
 * plain-attention.ts). This file decides the graph and knows nothing of files or checkpoints.
 */
import { graphBuilder } from './graph-builder.ts'
import type { GraphBuilder } from './graph-builder.ts'
import type { GraphNode, Initializer, OnnxGraph, ValueInfo } from './onnx-writer.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import { plainAttention, plainAttentionInputs } from './plain-attention.ts'

/** A tensor of weights.bin: rows of checkpoint tensors one after another, or the table of rotary angles. */
export interface WeightTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly source: { readonly kind: 'checkpoint'; readonly tensors: readonly string[] } | { readonly kind: 'rotary'; readonly part: 'cos' | 'sin' }
}

export interface PhiGraph {
  /** Tensors in the order in which they lie in weights.bin. */
  readonly weights: readonly WeightTensor[]
  /** True when the present buffers may be the past buffers. */
  readonly kvInPlace: boolean
  /** The graph, given the offset of each weight tensor in weights.bin. */
  build(offsetOf: (name: string) => number): OnnxGraph
}

/** GroupQueryAttention on the CPU asks for heads of a multiple of 16 and rotary halves of a multiple of 8. */
export function suitsGroupQueryAttention({ headSize, rotarySize }: PhiConfiguration): boolean {
  return headSize % 16 === 0 && (rotarySize / 2) % 8 === 0
}

export function phiGraph(configuration: PhiConfiguration): PhiGraph {
  const weights = weightTensors(configuration)
  const kvInPlace = suitsGroupQueryAttention(configuration)
  return {
    weights,
    kvInPlace,
    build: (offsetOf) => {
      const nodes: GraphNode[] = []
      const initializers: Initializer[] = weights.map(({ name, shape }) => ({
        name, kind: 'external', type: 'float32', shape, offset: offsetOf(name),
      }))
      addNodes(graphBuilder(nodes, initializers), configuration)
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

function weightTensors({ hiddenSize, intermediateSize, vocabularySize, layers, contextLength, rotarySize }: PhiConfiguration): WeightTensor[] {
  const copy = (name: string, shape: readonly number[], tensors: readonly string[]): WeightTensor => ({
    name, shape, source: { kind: 'checkpoint', tensors },
  })
  const pair = (name: string, source: string, shape: readonly number[]): WeightTensor[] => [
    copy(`${name}.weight`, shape, [`${source}.weight`]),
    copy(`${name}.bias`, shape.slice(0, 1), [`${source}.bias`]),
  ]
  const rotary = (part: 'cos' | 'sin'): WeightTensor => ({
    name: `rotary.${part}`, shape: [contextLength, rotarySize / 2], source: { kind: 'rotary', part },
  })
  return [
    copy('embedding', [vocabularySize, hiddenSize], ['model.embed_tokens.weight']),
    rotary('cos'),
    rotary('sin'),
    ...Array.from({ length: layers }, (_, layer) => {
      const source = `model.layers.${layer}`
      const name = `layer.${layer}`
      const packed = (suffix: string): string[] => ['q', 'k', 'v'].map((part) => `${source}.self_attn.${part}_proj.${suffix}`)
      return [
        ...pair(`${name}.norm`, `${source}.input_layernorm`, [hiddenSize]),
        copy(`${name}.qkv.weight`, [3 * hiddenSize, hiddenSize], packed('weight')),
        copy(`${name}.qkv.bias`, [3 * hiddenSize], packed('bias')),
        ...pair(`${name}.dense`, `${source}.self_attn.dense`, [hiddenSize, hiddenSize]),
        ...pair(`${name}.fc1`, `${source}.mlp.fc1`, [intermediateSize, hiddenSize]),
        ...pair(`${name}.fc2`, `${source}.mlp.fc2`, [hiddenSize, intermediateSize]),
      ]
    }).flat(),
    ...pair('final_norm', 'model.final_layernorm', [hiddenSize]),
    ...pair('lm_head', 'lm_head', [vocabularySize, hiddenSize]),
  ]
}

/** In the comments T = B*S rows, H hidden size, I intermediate size, V vocabulary. */
function addNodes(graph: GraphBuilder, configuration: PhiConfiguration): void {
  const { hiddenSize, layers, heads, layerNormEpsilon } = configuration
  const linear = (output: string, input: string, weights: string): string =>
    graph.node(output, 'Gemm', [input, `${weights}.weight`, `${weights}.bias`], { transB: 1 })
  const norm = (output: string, input: string, weights: string): string =>
    graph.node(output, 'LayerNormalization', [input, `${weights}.weight`, `${weights}.bias`], {
      axis: -1,
      epsilon: { float: layerNormEpsilon },
    })
  const rows = graph.integers('rows_shape', [-1, hiddenSize])
  const usesGroupQueryAttention = suitsGroupQueryAttention(configuration)
  const shared = usesGroupQueryAttention ? undefined : plainAttentionInputs(graph)

  const embedded = graph.node('embedded', 'Gather', ['embedding', 'input_ids']) // [B, S, H]
  let residual = graph.node('residual.0', 'Reshape', [embedded, rows]) // [T, H]
  for (let layer = 0; layer < layers; layer++) {
    const name = `layer.${layer}`
    const normed = norm(`${name}.normed`, residual, `${name}.norm`)
    const qkvRows = linear(`${name}.qkv_rows`, normed, `${name}.qkv`) // [T, 3H]
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
    const dense = linear(`${name}.dense_out`, attendedRows, `${name}.dense`)
    const expanded = linear(`${name}.fc1_out`, normed, `${name}.fc1`) // [T, I]
    graph.microsoft([`${name}.activated`], 'FastGelu', [expanded])
    const contracted = linear(`${name}.fc2_out`, `${name}.activated`, `${name}.fc2`)
    const branches = graph.node(`${name}.branches`, 'Add', [dense, contracted])
    residual = graph.node(`residual.${layer + 1}`, 'Add', [residual, branches])
  }
  const wanted = graph.node('wanted_rows', 'Gather', [residual, 'logit_idx'], { axis: 0 }) // [R, H]
  linear('logits', norm('final_normed', wanted, 'final_norm'), 'lm_head') // [R, V]
}
