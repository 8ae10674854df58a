/**
 * A forward pass whose outcome is known, before the first sequence is taken: two tokens at once and one after the other,
 * in different slots, have to give the same finite logits. It finds a graph that does not fit its manifest, a cache that
 * is not written where it should be, and weights that are damaged; it does not judge the model.
 */
import type { Manifest } from '../model/manifest.ts'
import type { ForwardPass } from './forward-pass.ts'
import type { KeyValueCache } from './key-value-cache.ts'

/**
 * Of the length of the vector of logits. Far above rounding: where activations are quantised, one that falls to the other
 * side of a half goes on through all layers, which makes 0.02 at phi-2's size. And far below the 0.9 of a lost token.
 */
const tolerance = 0.2

/** Leaves the cache as it was. Throws an `Error` that says what is wrong. */
export async function selfCheck(forwardPass: ForwardPass, cache: KeyValueCache, { endTokens }: Pick<Manifest, 'endTokens'>): Promise<void> {
  const tokens = [endTokens[0] ?? 0, 0]
  const last = cache.slots - 1
  const together = (await forwardPass.run({ firstSlot: 0, lengths: [2], tokens, wanted: [1] })).slice()
  cache.clear(0, 2)
  await forwardPass.run({ firstSlot: last, lengths: [1], tokens: tokens.slice(0, 1), wanted: [] })
  const apart = await forwardPass.run({ firstSlot: last, lengths: [2], tokens: tokens.slice(1), wanted: [0] })
  cache.clear(last, 2)
  const length = lengthOf(together)
  if (!Number.isFinite(length)) throw new Error('The model computes something that is not a number.')
  const distance = lengthOf(together.map((logit, token) => logit - apart[token]!))
  if (!(distance <= tolerance * length)) throw new Error('The model computes something else for a prompt at once than for the same prompt token by token.')
}

function lengthOf(vector: Float32Array): number {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
}
