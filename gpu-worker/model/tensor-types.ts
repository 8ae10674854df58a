/// <reference lib="esnext.float16" />
/**
 * The three number formats in which Phi checkpoints come, and their conversion from and to float32. Bytes are
 * little-endian in every file that we read or write, and so is every machine that we run on.
 */

export const tensorTypes = ['F32', 'F16', 'BF16'] as const
export type TensorType = (typeof tensorTypes)[number]

export function bytesPerElement(type: TensorType): 2 | 4 {
  return type === 'F32' ? 4 : 2
}

/** Float32 values of `bytes`, whose length is a multiple of the element size. Exact: all three fit float32. */
export function toFloat32(type: TensorType, bytes: Uint8Array): Float32Array {
  const count = bytes.byteLength / bytesPerElement(type)
  // Typed arrays need aligned memory; a chunk read from a file may start anywhere in its pool.
  const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  if (type === 'F32') return new Float32Array(buffer, byteOffset, count)
  if (type === 'F16') return new Float32Array(new Float16Array(buffer, byteOffset, count))
  const upperHalves = new Uint16Array(buffer, byteOffset, count)
  const words = new Uint32Array(count)
  for (let index = 0; index < count; index++) words[index] = upperHalves[index]! << 16
  return new Float32Array(words.buffer)
}

/** Bytes of `values` in `type`, rounded to nearest, ties to even. */
export function fromFloat32(type: TensorType, values: Float32Array): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  if (type === 'F16') return new Uint8Array(new Float16Array(values).buffer)
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const upperHalves = new Uint16Array(values.length)
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!
    upperHalves[index] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return new Uint8Array(upperHalves.buffer)
}
