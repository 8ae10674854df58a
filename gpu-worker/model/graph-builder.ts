/** Collects the nodes and small constants of an ONNX graph, with one short call per node. */
import type { GraphNode, Initializer } from './onnx-writer.ts'

/** Grows a graph; every node is named after its output, so that a message of ONNX Runtime tells where it is. */
export interface GraphBuilder {
  /** Adds a node and returns the name of its only output. */
  node(output: string, operator: string, inputs: readonly string[], attributes?: GraphNode['attributes']): string
  /** Adds a node of ONNX Runtime's own operators. */
  microsoft(outputs: readonly string[], operator: string, inputs: readonly string[], attributes?: GraphNode['attributes']): void
  /** Adds a node with several outputs. */
  split(outputs: readonly string[], input: string, axis: number, sizes: readonly number[]): void
  /** A small int64 constant; without a shape, a list. */
  integers(name: string, values: readonly number[], shape?: readonly number[]): string
  /** A float32 scalar. */
  scalar(name: string, value: number): string
  /** A uint8 scalar. */
  byte(name: string, value: number): string
}

/** Appends to the two lists that it is given. */
export function graphBuilder(nodes: GraphNode[], initializers: Initializer[]): GraphBuilder {
  return {
    node: (output, operator, inputs, attributes = {}) => {
      nodes.push({ name: output, operator, inputs, outputs: [output], attributes })
      return output
    },
    microsoft: (outputs, operator, inputs, attributes = {}) => {
      nodes.push({ name: outputs[0]!, operator, domain: 'com.microsoft', inputs, outputs, attributes })
    },
    split: (outputs, input, axis, sizes) => {
      const name = `${outputs[0]!}.sizes`
      initializers.push({ name, kind: 'inline', type: 'int64', shape: [sizes.length], values: sizes })
      nodes.push({ name: outputs[0]!, operator: 'Split', inputs: [input, name], outputs, attributes: { axis } })
    },
    integers: (name, values, shape = [values.length]) => {
      initializers.push({ name, kind: 'inline', type: 'int64', shape, values })
      return name
    },
    scalar: (name, value) => {
      initializers.push({ name, kind: 'inline', type: 'float32', shape: [], values: [value] })
      return name
    },
    byte: (name, value) => {
      initializers.push({ name, kind: 'inline', type: 'uint8', shape: [], values: [value] })
      return name
    },
  }
}
