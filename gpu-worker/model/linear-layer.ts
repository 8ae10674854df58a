/**
 * A linear layer, x·Wᵀ + b, as ONNX nodes for each encoding of W (weight-encoding.ts). In every one of them a row of the
 * result depends on the same row of x alone: what a sequence gets never depends on its neighbours in the batch.
 *
 * In the comments T rows, K inputs, N outputs.
 */
import type { GraphBuilder } from './graph-builder.ts'
import type { WeightEncoding } from './weight-encoding.ts'

export interface LinearLayer {
  readonly output: string
  /** f32 [T, K] */
  readonly input: string
  /** Prefix of its `.weight` and `.bias`. */
  readonly weights: string
  /** [N, K] */
  readonly shape: readonly number[]
}

/** Adds the layer's nodes and returns the name of its output, f32 [T, N]. */
export type AddLinearLayer = (layer: LinearLayer) => string

/** MatMulNBits quantises its input to 8 bits, block by block, and multiplies integers. */
const int8Compute = 4

export function linearLayers(graph: GraphBuilder, encoding: WeightEncoding): AddLinearLayer {
  switch (encoding.kind) {
    case 'float32':
      return ({ output, input, weights }) => gemm(graph, output, input, `${weights}.weight`, weights)
    case 'float16':
      // CPUs multiply in float32. ONNX Runtime folds the cast when it loads the graph, so it costs memory and no time.
      return ({ output, input, weights }) =>
        gemm(graph, output, input, graph.node(`${weights}.weight.f32`, 'Cast', [`${weights}.weight`], { to: 1 }), weights)
    case 'blocks':
      return ({ output, input, weights, shape }) => {
        const [outputs, inputs] = [shape[0]!, shape[1]!]
        graph.microsoft(
          [output],
          'MatMulNBits',
          [input, `${weights}.weight.codes`, `${weights}.weight.scales`, '', '', `${weights}.bias`],
          { K: inputs, N: outputs, bits: encoding.bits, block_size: encoding.blockSize, accuracy_level: int8Compute },
        )
        return output
      }
    case 'channels':
      return channelLayers(graph)
  }
}

function gemm(graph: GraphBuilder, output: string, input: string, matrix: string, weights: string): string {
  return graph.node(output, 'Gemm', [input, matrix, `${weights}.bias`], { transB: 1 })
}

interface QuantisedRows {
  /** u8 [T, K]: a code c means (c - 128) * scale of the row. */
  readonly codes: string
  /** f32 [T, 1] */
  readonly scales: string
}

/**
 * Int8 times int8 with a scale per row of x and per output. DynamicQuantizeMatMul would be one node, but takes one scale
 * for all of x, so that rows of a batch would change each other. Codes of x are unsigned with a zero point, since ONNX
 * Runtime's kernel for signed ones is many times slower. Layers that share an input share its codes.
 */
function channelLayers(graph: GraphBuilder): AddLinearLayer {
  const one = graph.scalar('quantised.one', 1)
  const zeroPoint = graph.byte('quantised.zero_point', 128)
  const codeOfLargest = graph.scalar('quantised.reciprocal', 1 / 127)
  // A row of zeros must not be divided by zero.
  const smallest = graph.scalar('quantised.smallest', 1e-30)
  const lastAxis = graph.integers('quantised.last_axis', [-1])
  const quantised = new Map<string, QuantisedRows>()
  let zeroPoints: string | undefined

  const quantise = (input: string): QuantisedRows => {
    const largest = graph.node(`${input}.largest`, 'ReduceMax', [graph.node(`${input}.absolute`, 'Abs', [input]), lastAxis], { keepdims: 0 })
    const scales = graph.node(`${input}.scales`, 'Max', [graph.node(`${input}.raw_scales`, 'Mul', [largest, codeOfLargest]), smallest]) // [T]
    // T is the same everywhere in the layers.
    zeroPoints ??= graph.node('quantised.zero_points', 'Expand', [zeroPoint, graph.node('quantised.rows', 'Shape', [scales])])
    return {
      codes: graph.node(`${input}.codes`, 'QuantizeLinear', [input, scales, zeroPoints], { axis: 0 }),
      scales: graph.node(`${input}.scale_column`, 'Unsqueeze', [scales, lastAxis]),
    }
  }

  return ({ output, input, weights }) => {
    const { codes, scales } = quantised.get(input) ?? quantise(input)
    quantised.set(input, { codes, scales })
    graph.microsoft([`${output}.products`], 'MatMulIntegerToFloat', [codes, `${weights}.weight.codes`, one, `${weights}.weight.scales`, zeroPoint])
    const scaled = graph.node(`${output}.scaled`, 'Mul', [`${output}.products`, scales])
    return graph.node(output, 'Add', [scaled, `${weights}.bias`])
  }
}
