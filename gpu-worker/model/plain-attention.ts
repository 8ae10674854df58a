/**
 * Attention with rotary embedding and KV cache in plain ONNX operators, for head sizes that GroupQueryAttention does not
 * take. Same meaning: the new tokens of sequence b stand at positions past_b + s with past_b = max(0, seqlens_k + 1 - S),
 * their keys and values are written there, and each attends to positions up to its own. It copies the whole cache at
 * every step, so it is slow; it is there to be right for any shape.
 *
 * In the comments B sequences, S new tokens, T = total_seq, N heads of size D, R rotary dimensions.
 */
import type { GraphBuilder } from './graph-builder.ts'
import type { PhiConfiguration } from './phi-configuration.ts'

/** Names of values that all layers share. */
export interface PlainAttentionInputs {
  /** i64 [B, 1, S, 1] */
  readonly positions: string
  /** f32 [B, 1, S, R/2] */
  readonly cos: string
  readonly sin: string
  /** bool [B, 1, S, T] */
  readonly visible: string
  /** i64 [1]: T */
  readonly total: string
}

interface AttentionLayer {
  /** Prefix of the names of its nodes. */
  readonly name: string
  /** f32 [B, S, 3*N*D] */
  readonly qkv: string
  /** Name of the output, f32 [B, S, N*D]. */
  readonly attended: string
  readonly cache: { readonly pastKey: string; readonly pastValue: string; readonly presentKey: string; readonly presentValue: string }
  readonly configuration: PhiConfiguration
  readonly shared: PlainAttentionInputs
}

export function plainAttentionInputs(graph: GraphBuilder): PlainAttentionInputs {
  const zero = graph.integers('zero', [0], [])
  const one = graph.integers('one', [1], [])
  const newTokens = graph.node('new_tokens', 'Gather', ['bs', one]) // scalar
  const lastIndex = graph.node('last_index', 'Cast', ['seqlens_k'], { to: 7 }) // [B]
  const totals = graph.node('totals', 'Add', [lastIndex, one])
  // Right padding of a first prompt makes this negative.
  const past = graph.node('past', 'Max', [graph.node('past_or_padding', 'Sub', [totals, newTokens]), zero])
  const pastColumn = graph.node('past_column', 'Reshape', [past, graph.integers('past_shape', [-1, 1, 1, 1])])
  const steps = graph.node('steps', 'Range', [zero, newTokens, one])
  const stepRow = graph.node('step_row', 'Reshape', [steps, graph.integers('step_shape', [1, 1, -1, 1])])
  const positions = graph.node('positions', 'Add', [pastColumn, stepRow])
  const flat = graph.node('positions_2d', 'Squeeze', [positions, graph.integers('position_axes', [1, 3])]) // [B, S]
  const angles = (part: 'cos' | 'sin'): string =>
    graph.node(part, 'Unsqueeze', [graph.node(`${part}_rows`, 'Gather', [`rotary.${part}`, flat], { axis: 0 }), graph.integers(`${part}_axis`, [1])])
  const totalScalar = graph.node('total_i64', 'Cast', ['total_seq'], { to: 7 })
  const columns = graph.node('columns', 'Range', [zero, totalScalar, one]) // [T]
  return {
    positions,
    cos: angles('cos'),
    sin: angles('sin'),
    visible: graph.node('visible', 'LessOrEqual', [columns, positions]),
    total: graph.node('total', 'Reshape', [totalScalar, graph.integers('total_shape', [1])]),
  }
}

export function plainAttention(graph: GraphBuilder, { name, qkv, attended, cache, configuration, shared }: AttentionLayer): void {
  const { heads, headSize, rotarySize, hiddenSize } = configuration
  const local = (part: string): string => `${name}.attention.${part}`
  const apart = graph.node(local('apart'), 'Reshape', [qkv, graph.integers(local('apart_shape'), [0, 0, 3 * heads, headSize])])
  const byHead = graph.node(local('by_head'), 'Transpose', [apart], { perm: [0, 2, 1, 3] }) // [B, 3N, S, D]
  graph.split([local('qk'), local('v')], byHead, 1, [2 * heads, heads])
  const rotated = rotate(graph, local, local('qk'), headSize - rotarySize, rotarySize / 2, shared)
  graph.split([local('q'), local('k')], rotated, 1, [heads, heads])

  // [B, N, S, D], each element being its position in the cache.
  const shape = graph.node(local('new_shape'), 'Shape', [local('v')])
  const places = graph.node(local('places'), 'Expand', [shared.positions, shape])
  graph.node(cache.presentKey, 'ScatterElements', [cache.pastKey, places, local('k')], { axis: 2 })
  graph.node(cache.presentValue, 'ScatterElements', [cache.pastValue, places, local('v')], { axis: 2 })

  const filled = (part: string, present: string): string =>
    graph.node(local(part), 'Slice', [present, graph.integers(local(`${part}_from`), [0]), shared.total, graph.integers(local(`${part}_axis`), [2])])
  const keys = graph.node(local('keys_transposed'), 'Transpose', [filled('keys', cache.presentKey)], { perm: [0, 1, 3, 2] })
  const products = graph.node(local('products'), 'MatMul', [local('q'), keys]) // [B, N, S, T]
  const scores = graph.node(local('scores'), 'Mul', [products, graph.scalar(local('scale'), 1 / Math.sqrt(headSize))])
  const masked = graph.node(local('masked'), 'Where', [shared.visible, scores, graph.scalar(local('hidden'), -3e38)])
  const shares = graph.node(local('shares'), 'Softmax', [masked], { axis: -1 })
  const mixed = graph.node(local('mixed'), 'MatMul', [shares, filled('values', cache.presentValue)]) // [B, N, S, D]
  const together = graph.node(local('together'), 'Transpose', [mixed], { perm: [0, 2, 1, 3] })
  graph.node(attended, 'Reshape', [together, graph.integers(local('together_shape'), [0, 0, hiddenSize])])
}

/** Half-split rotation of the first R dimensions (Su et al., RoFormer, 2021, in the layout of GPT-NeoX). */
function rotate(
  graph: GraphBuilder,
  local: (part: string) => string,
  input: string,
  unrotated: number,
  half: number,
  { cos, sin }: PlainAttentionInputs,
): string {
  const parts = [local('first'), local('second'), ...(unrotated === 0 ? [] : [local('unrotated')])]
  graph.split(parts, input, 3, [half, half, ...(unrotated === 0 ? [] : [unrotated])])
  const times = (part: string, angle: string, of: string): string => graph.node(local(part), 'Mul', [of, angle])
  const first = graph.node(local('first_rotated'), 'Sub', [
    times('first_cos', cos, local('first')),
    times('second_sin', sin, local('second')),
  ])
  const second = graph.node(local('second_rotated'), 'Add', [
    times('second_cos', cos, local('second')),
    times('first_sin', sin, local('first')),
  ])
  return graph.node(local('rotated'), 'Concat', [first, second, ...parts.slice(2)], { axis: 3 })
}
