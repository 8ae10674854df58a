/**
 * A forward pass whose outcome is known, before the first sequence is taken: two tokens at once and one after the other,
 * in different slots, have to give the same finite logits. It finds a graph that does not fit its manifest, a cache that
 * is not written where it should be, and weights that are damaged; it does not judge the model.
 */
import type { Manifest } from '../model/manifest.ts'
import type { ForwardPass } from './forward-pass.ts'
import type { KeyValueCache } from './key-value-cache.ts'

/** Far above rounding, also that of quantised weights, and far below the difference that a lost token makes. */
const tolerance = 0.01

/** Leaves the cache as it was. Throws an `Error` that says what is wrong. */
export async function selfCheck(forwardPass: ForwardPass, cache: KeyValueCache, { endTokens }: Pick<Manifest, 'endTokens'>): Promise<void> {
  const tokens = [endTokens[0] ?? 0, 0]
  const last = cache.slots - 1
  const together = (await forwardPass.run({ firstSlot: 0, lengths: [2], tokens, wanted: [1] })).slice()
  cache.clear(0, 2)
  await forwardPass.run({ firstSlot: last, lengths: [1], tokens: tokens.slice(0, 1), wanted: [] })
  const apart = await forwardPass.run({ firstSlot: last, lengths: [2], tokens: tokens.slice(1), wanted: [0] })
  cache.clear(last, 2)
  const largest = together.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0)
  if (!Number.isFinite(largest)) throw new Error('The model computes something that is not a number.')
  const differs = together.some((logit, token) => !(Math.abs(logit - apart[token]!) <= tolerance * (1 + largest)))
  if (differs) throw new Error('The model computes something else for a prompt at once than for the same prompt token by token.')
}
