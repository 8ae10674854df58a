/**
 * Writes ONNX models: a protocol buffers encoder and the few messages of onnx.proto that our graphs use
 * (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; field numbers are its own). Large tensors stay outside, as
 * external data in a file beside the model; small constants go in.
 */

export type ElementType = 'float32' | 'float16' | 'int64' | 'int32' | 'int8' | 'uint8'
const elementTypeNumber: Record<ElementType, number> = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, float16: 10 }
const elementBytes: Record<ElementType, number> = { float32: 4, uint8: 1, int8: 1, int32: 4, int64: 8, float16: 2 }

type InlineType = 'float32' | 'int64' | 'uint8'

/** A length, or the name of one that is only known when the graph runs. */
export type Dimension = number | string

export interface ValueInfo {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly Dimension[]
}

export type Attribute = number | { readonly float: number } | readonly number[]

export interface GraphNode {
  readonly name: string
  readonly operator: string
  readonly domain?: 'com.microsoft'
  /** Names of values; an empty string leaves an optional input out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** A plain number is an int attribute, `{ float }` a float one, a list an ints one. */
  readonly attributes?: Readonly<Record<string, Attribute>>
}

export type Initializer =
  | { readonly name: string; readonly kind: 'external'; readonly type: ElementType; readonly shape: readonly number[]; readonly offset: number }
  | { readonly name: string; readonly kind: 'inline'; readonly type: InlineType; readonly shape: readonly number[]; readonly values: readonly number[] }

export interface OnnxGraph {
  readonly name: string
  readonly nodes: readonly GraphNode[]
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly initializers: readonly Initializer[]
}

/** The bytes of model.onnx: opset 21 and com.microsoft 1. `externalFile` is the name of the file with the tensors. */
export function encodeOnnxModel(graph: OnnxGraph, externalFile: string): Uint8Array {
  return message(
    integer(1, 10), // ir_version: the one that came with opset 21
    text(2, 'phigate'),
    nested(8, message(integer(2, 21))),
    nested(8, message(text(1, 'com.microsoft'), integer(2, 1))),
    nested(7, encodeGraph(graph, externalFile)),
  )
}

function encodeGraph({ name, nodes, inputs, outputs, initializers }: OnnxGraph, externalFile: string): Uint8Array {
  return message(
    ...nodes.map((node) => nested(1, encodeNode(node))),
    text(2, name),
    ...initializers.map((initializer) => nested(5, encodeInitializer(initializer, externalFile))),
    ...inputs.map((input) => nested(11, encodeValueInfo(input))),
    ...outputs.map((output) => nested(12, encodeValueInfo(output))),
  )
}

function encodeNode({ name, operator, domain, inputs, outputs, attributes = {} }: GraphNode): Uint8Array {
  return message(
    ...inputs.map((input) => text(1, input)),
    ...outputs.map((output) => text(2, output)),
    text(3, name),
    text(4, operator),
    ...Object.entries(attributes).map(([key, value]) => nested(5, encodeAttribute(key, value))),
    ...(domain === undefined ? [] : [text(7, domain)]),
  )
}

function encodeAttribute(name: string, value: Attribute): Uint8Array {
  if (typeof value === 'number') return message(text(1, name), integer(3, value), integer(20, 2))
  if ('float' in value) return message(text(1, name), float(2, value.float), integer(20, 1))
  return message(text(1, name), ...value.map((item) => integer(8, item)), integer(20, 7))
}

function encodeInitializer(initializer: Initializer, externalFile: string): Uint8Array {
  const head = [
    ...initializer.shape.map((length) => integer(1, length)),
    integer(2, elementTypeNumber[initializer.type]),
    text(8, initializer.name),
  ]
  if (initializer.kind === 'inline') return message(...head, bytes(9, rawValues(initializer.type, initializer.values)))
  const length = tensorBytes(initializer.type, initializer.shape)
  const entry = (key: string, value: string): Uint8Array => nested(13, message(text(1, key), text(2, value)))
  return message(
    ...head,
    entry('location', externalFile),
    entry('offset', String(initializer.offset)),
    entry('length', String(length)),
    integer(14, 1),
  )
}

/** Bytes that a tensor takes in memory and in the file of external data. */
export function tensorBytes(type: ElementType, shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, elementBytes[type])
}

function rawValues(type: InlineType, values: readonly number[]): Uint8Array {
  if (type === 'uint8') return new Uint8Array(values)
  const array = type === 'float32' ? new Float32Array(values) : new BigInt64Array(values.map(BigInt))
  return new Uint8Array(array.buffer)
}

function encodeValueInfo({ name, type, shape }: ValueInfo): Uint8Array {
  const dimensions = shape.map((dimension) => nested(1, message(typeof dimension === 'number' ? integer(1, dimension) : text(2, dimension))))
  const tensorType = message(integer(1, elementTypeNumber[type]), nested(2, message(...dimensions)))
  return message(text(1, name), nested(2, message(nested(1, tensorType))))
}

// Protocol buffers, https://protobuf.dev/programming-guides/encoding: a field is (number << 3 | wire type), then its value.

function message(...fields: Uint8Array[]): Uint8Array {
  return Buffer.concat(fields)
}

function integer(field: number, value: number): Uint8Array {
  return message(varint(field << 3), varint(value))
}

function float(field: number, value: number): Uint8Array {
  return message(varint((field << 3) | 5), new Uint8Array(new Float32Array([value]).buffer))
}

function bytes(field: number, value: Uint8Array): Uint8Array {
  return message(varint((field << 3) | 2), varint(value.length), value)
}

function text(field: number, value: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(value))
}

const nested = bytes

function varint(value: number): Uint8Array {
  const groups: number[] = []
  // Negative numbers are 64-bit two's complement.
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest > 0x7fn) {
    groups.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  groups.push(Number(rest))
  return new Uint8Array(groups)
}
