/**
 * How one budget of bytes for keys and values is divided: slots for sequences that run, blocks for prefixes that later
 * prompts may share. Both are taken when the engine starts and never grow. A sequence is admitted by its worst case, its
 * prompt and all the tokens it may still sample, which must fit a slot; so one that has started never runs out of memory.
 *
 * Slots come first. They have the length of the model's context unless the caller wants shorter ones; only where not
 * even one of that length fits, there is a single shorter one. An eighth of the budget is kept for prefixes while there
 * is more than one slot, and what the slots leave goes there too, up to as many tokens as the slots hold together.
 */
import type { Manifest } from '../model/manifest.ts'
import { EngineError } from './engine.ts'
import { blockTokens, bytesPerToken } from './key-value-cache.ts'

export interface KeyValuePlan {
  readonly slots: number
  /** Tokens of one slot. */
  readonly slotLength: number
  /** Blocks of `blockTokens` tokens for prefixes. */
  readonly blocks: number
}

export interface KeyValueWish {
  /** Sequences side by side, at most. */
  readonly slots: number
  /** Tokens of one slot; default the model's context. */
  readonly slotLength?: number | undefined
  readonly budgetBytes: number
  /** Whether prompts that share a prefix may reuse its keys and values. */
  readonly prefixReuse: boolean
}

type Shape = Pick<Manifest, 'layers' | 'heads' | 'headSize' | 'contextLength' | 'kvType' | 'kvInPlace'>

/** A slot that is shorter than this and than what was wished for serves nobody. */
const shortestSlot = 256
const prefixShare = 1 / 8

/** Throws `RangeError` for a wish that makes no sense and `EngineError` `start-failed` when not one useful slot fits. */
export function planKeyValueMemory(shape: Shape, { slots: wanted, slotLength = shape.contextLength, budgetBytes, prefixReuse }: KeyValueWish): KeyValuePlan {
  if (!(Number.isInteger(wanted) && wanted >= 1)) throw new RangeError(`There must be a slot or more, not ${wanted}.`)
  if (!(Number.isInteger(slotLength) && slotLength >= 1 && slotLength <= shape.contextLength)) {
    throw new RangeError(`A slot has 1 to ${shape.contextLength} tokens, the length of the model's context, not ${slotLength}.`)
  }
  const tokenBytes = bytesPerToken(shape)
  const slotBytes = slotLength * tokenBytes.slot
  const fitting = (bytes: number): number => Math.floor(bytes / slotBytes)
  if (fitting(budgetBytes) === 0) {
    const shorter = Math.floor(budgetBytes / tokenBytes.slot)
    if (shorter >= shortestSlot) return { slots: 1, slotLength: shorter, blocks: 0 }
    const mebibytes = (value: number): string => `${Math.ceil(value / 2 ** 20)} MiB`
    const least = Math.min(slotLength, shortestSlot)
    throw new EngineError(
      'start-failed',
      `The KV cache of one sequence of ${least} tokens takes ${mebibytes(least * tokenBytes.slot)}, and the budget is ${mebibytes(budgetBytes)}.`,
    )
  }
  const slots = Math.min(wanted, Math.max(1, fitting(budgetBytes * (prefixReuse ? 1 - prefixShare : 1))))
  const left = Math.floor((budgetBytes - slots * slotBytes) / (blockTokens * tokenBytes.block))
  return { slots, slotLength, blocks: prefixReuse ? Math.min(left, Math.ceil((slots * slotLength) / blockTokens)) : 0 }
}
