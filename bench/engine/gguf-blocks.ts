/// <reference lib="esnext.float16" />
/**
 * ggml's two plain block formats, in which llama.cpp keeps quantised weights: 32 weights share one scale, stored as
 * float16 before them (ggml/src/ggml-common.h, `block_q4_0` and `block_q8_0`). The rounding is that of ggml's own
 * reference quantisers (ggml-quants.c, `quantize_row_q4_0_ref` and `quantize_row_q8_0_ref`), so that the peer gets what
 * its own tools would have made. No importance matrix, no other formats.
 */

export const blockWeights = 32

/** Type numbers of ggml.h, and bytes of 32 weights. */
export const ggmlTypes = {
  F32: { id: 0, bytesPerBlock: 128 },
  F16: { id: 1, bytesPerBlock: 64 },
  Q4_0: { id: 2, bytesPerBlock: 18 },
  Q8_0: { id: 8, bytesPerBlock: 34 },
} as const
export type GgmlType = keyof typeof ggmlTypes

/** Bytes of `values` in a type. Quantised types ask for a multiple of 32 values. */
export function encodeWeights(type: GgmlType, values: Float32Array): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  if (type === 'F16') return new Uint8Array(new Float16Array(values).buffer)
  if (values.length % blockWeights !== 0) throw new Error(`${type} holds blocks of ${blockWeights} weights, and there are ${values.length}.`)
  return type === 'Q4_0' ? quantiseQ40(values) : quantiseQ80(values)
}

/**
 * Weight = scale * (nibble - 8). The scale takes the weight of the largest magnitude to -8, whichever sign it has. Byte
 * j after the scale holds weight j in its low half and weight j + 16 in its high half.
 */
function quantiseQ40(values: Float32Array): Uint8Array {
  const blocks = values.length / blockWeights
  const bytes = new Uint8Array(blocks * ggmlTypes.Q4_0.bytesPerBlock)
  const scales = scaleWriter()
  for (let block = 0; block < blocks; block++) {
    const first = block * blockWeights
    let largest = 0
    for (let index = first; index < first + blockWeights; index++) {
      if (Math.abs(values[index]!) > Math.abs(largest)) largest = values[index]!
    }
    const scale = largest / -8
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    const to = block * ggmlTypes.Q4_0.bytesPerBlock
    scales.write(bytes, to, scale)
    for (let index = 0; index < blockWeights / 2; index++) {
      // Truncated, not rounded to even: the half is part of the 8.5.
      const low = Math.min(15, (values[first + index]! * inverse + 8.5) | 0)
      const high = Math.min(15, (values[first + index + 16]! * inverse + 8.5) | 0)
      bytes[to + 2 + index] = low | (high << 4)
    }
  }
  return bytes
}

/** Weight = scale * signed byte. */
function quantiseQ80(values: Float32Array): Uint8Array {
  const blocks = values.length / blockWeights
  const bytes = new Uint8Array(blocks * ggmlTypes.Q8_0.bytesPerBlock)
  const scales = scaleWriter()
  for (let block = 0; block < blocks; block++) {
    const first = block * blockWeights
    let largest = 0
    for (let index = first; index < first + blockWeights; index++) largest = Math.max(largest, Math.abs(values[index]!))
    const scale = largest / 127
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    const to = block * ggmlTypes.Q8_0.bytesPerBlock
    scales.write(bytes, to, scale)
    for (let index = 0; index < blockWeights; index++) {
      const scaled = values[first + index]! * inverse
      // Halves away from zero, as C's roundf.
      bytes[to + 2 + index] = (scaled < 0 ? scaled - 0.5 : scaled + 0.5) | 0
    }
  }
  return bytes
}

/** Blocks start at even offsets only, which a typed array over them would not take for every width. */
function scaleWriter(): { write(bytes: Uint8Array, at: number, scale: number): void } {
  const half = new Float16Array(1)
  const halfBytes = new Uint8Array(half.buffer)
  return {
    write(bytes, at, scale) {
      half[0] = scale
      bytes[at] = halfBytes[0]!
      bytes[at + 1] = halfBytes[1]!
    },
  }
}
