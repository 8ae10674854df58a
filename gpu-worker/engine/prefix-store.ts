/**
 * Keys and values of prompts' beginnings, for prompts that begin in the same way: a system prompt, the examples of a
 * few-shot task, the same prompt once more. A prompt is cut into blocks of `blockTokens` tokens. A block is found by the
 * SHA-256 of (the one before it, its own tokens), and the first one by the weights' digest and the isolation scope: so a
 * key stands for everything that its rows depend on, as in vLLM's automatic prefix caching, and rows are never shared
 * between weights or scopes.
 *
 * The blocks are a fixed number; of those, the least recently used gives way. A use counts for a block after it has
 * counted for the blocks behind it, so that the oldest of all is always the end of a prefix and never its middle.
 *
 * One prompt at a time is computed, and its blocks are held to be unproven until it has yielded finite logits, which
 * depend on all of its rows; when it breaks off before, they are dropped. So nobody is ever given a row that no finite
 * logits were computed from. Answers are not kept, only prompts.
 */
import { hash } from 'node:crypto'
import { blockTokens } from './key-value-cache.ts'
import type { KeyValueCache } from './key-value-cache.ts'

export interface PrefixStore {
  /** Begins a prompt. `isolation` names the only scope with which it shares; undefined is one scope for all without. */
  open(tokens: readonly number[], isolation: string | undefined): PromptPrefix
  /** Blocks that are taken. */
  readonly size: number
}

/** What one prompt takes from the store and gives to it. */
export interface PromptPrefix {
  /** Copies the longest known beginning into a slot; returns its length, less than the prompt's: one row must be computed. */
  restore(slot: number): number
  /** Keeps the blocks that a slot holds whole now that it holds `length` of the prompt's tokens. */
  save(slot: number, length: number): void
  /** What was saved is good. */
  prove(): void
  /** Drops what was saved and not proven. */
  abandon(): void
  /** Drops every block of this prompt, whoever saved it: something computed from them was wrong. */
  condemn(): void
}

export function createPrefixStore(cache: KeyValueCache, weightsDigest: string): PrefixStore {
  /** Block by key, the least recently used first. */
  const blocks = new Map<string, number>()
  const free = Array.from({ length: cache.blocks }, (_, block) => block)

  function forget(key: string): void {
    const block = blocks.get(key)
    if (block === undefined) return
    blocks.delete(key)
    free.push(block)
  }

  /** Counts as a use of all these blocks; the first one is the last to go. */
  function touch(keys: readonly string[]): void {
    for (const key of keys.toReversed()) {
      const block = blocks.get(key)
      if (block === undefined) continue
      blocks.delete(key)
      blocks.set(key, block)
    }
  }

  return {
    open(tokens, isolation) {
      if (cache.blocks === 0) return nothing
      const keys = blockKeys(tokens, weightsDigest, isolation).slice(0, cache.blocks)
      const own = new Set(keys)
      let unproven: string[] = []
      return {
        restore(slot) {
          const most = Math.floor((tokens.length - 1) / blockTokens)
          const missing = keys.findIndex((key) => !blocks.has(key))
          const found = keys.slice(0, Math.min(most, missing === -1 ? keys.length : missing))
          touch(found)
          for (const [index, key] of found.entries()) cache.loadBlock(blocks.get(key)!, slot, index * blockTokens)
          return found.length * blockTokens
        },
        save(slot, length) {
          const whole = keys.slice(0, Math.floor(length / blockTokens))
          touch(whole)
          for (const [index, key] of whole.entries()) {
            if (blocks.has(key)) continue
            if (free.length === 0) {
              const [oldest] = blocks.keys()
              if (oldest === undefined || own.has(oldest)) return
              forget(oldest)
            }
            const block = free.pop()!
            cache.saveBlock(block, slot, index * blockTokens)
            blocks.set(key, block)
            unproven.push(key)
            touch(whole.slice(0, index))
          }
        },
        prove() {
          unproven = []
        },
        abandon() {
          unproven.forEach(forget)
          unproven = []
        },
        condemn() {
          keys.forEach(forget)
          unproven = []
        },
      }
    },
    get size() {
      return blocks.size
    },
  }
}

/** For a store that keeps nothing. */
const nothing: PromptPrefix = { restore: () => 0, save: () => undefined, prove: () => undefined, abandon: () => undefined, condemn: () => undefined }

/** One key for each whole block of the tokens. */
function blockKeys(tokens: readonly number[], weightsDigest: string, isolation: string | undefined): string[] {
  const keys: string[] = []
  let key = hash('sha256', JSON.stringify([weightsDigest, isolation ?? null]), 'base64')
  for (let end = blockTokens; end <= tokens.length; end += blockTokens) {
    key = hash('sha256', `${key} ${tokens.slice(end - blockTokens, end).join(' ')}`, 'base64')
    keys.push(key)
  }
  return keys
}
