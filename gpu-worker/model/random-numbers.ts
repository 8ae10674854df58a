/** Random numbers that are the same on every machine for the same seed, for checkpoints that we make. Not for secrets. */

/** Standard normal numbers: Box-Muller over `uniformGenerator`. */
export function normalGenerator(seed: number): () => number {
  const uniform = uniformGenerator(seed)
  let spare: number | undefined
  return () => {
    if (spare !== undefined) {
      const value = spare
      spare = undefined
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()))
    const angle = 2 * Math.PI * uniform()
    spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
}

/** Uniform numbers in [0, 1): SplitMix32 (Steele et al., 2014, with 32-bit constants). Period 2^32. */
export function uniformGenerator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4_294_967_296
  }
}

/** Half +1 and half -1 in random order: mean 0 and variance 1, so that LayerNorm leaves it as it is. `length` is even. */
export function balancedSigns(length: number, uniform: () => number): Float32Array {
  const order = Array.from({ length }, (_, index) => ({ index, key: uniform() })).toSorted((a, b) => a.key - b.key)
  const values = new Float32Array(length).fill(1)
  for (const { index } of order.slice(length / 2)) values[index] = -1
  return values
}
