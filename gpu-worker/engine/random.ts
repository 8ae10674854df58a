/**
 * Random numbers as a pure function of (seed, position): Philox4x32-10, the counter-based generator of Salmon, Moraes,
 * Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011). There is no state, so a generation can go on
 * anywhere, on any machine, beside any other, with the numbers it would have had.
 */

const multipliers = [0xd2511f53, 0xcd9e8d57] as const
const keySteps = [0x9e3779b9, 0xbb67ae85] as const
const rounds = 10

type Words2 = readonly [number, number]
type Words4 = readonly [number, number, number, number]

/** The generator as published: four 32-bit words for a counter of four and a key of two. */
export function philox4x32(counter: Words4, key: Words2): Words4 {
  let [c0, c1, c2, c3] = counter
  let [k0, k1] = key
  for (let round = 0; round < rounds; round++) {
    const high0 = multiplyHigh(multipliers[0], c0)
    const high1 = multiplyHigh(multipliers[1], c2)
    const low0 = Math.imul(multipliers[0], c0)
    const low1 = Math.imul(multipliers[1], c2)
    ;[c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0]
    k0 = (k0 + keySteps[0]) | 0
    k1 = (k1 + keySteps[1]) | 0
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0]
}

/** A uniform number in [0, 1) of 53 bits. Both are integers from 0 to 2^53 - 1; the counter's upper words are 0. */
export function uniformAt(seed: number, position: number): number {
  const words = (value: number): Words2 => [value >>> 0, Math.floor(value / 2 ** 32)]
  const [first, second] = philox4x32([...words(position), 0, 0], words(seed))
  return ((first >>> 5) * 2 ** 26 + (second >>> 6)) / 2 ** 53
}

/** The upper 32 bits of the product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff]
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const carry = aLow * bHigh + (middle & 0xffff)
  return aHigh * bHigh + (middle >>> 16) + (carry >>> 16)
}
