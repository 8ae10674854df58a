/**
 * The KV cache: slots of fixed length, all memory taken at once, so that a sequence that has started never runs out of
 * it. Per layer two tensors (keys, values) of shape [slots, heads, slotLength, headSize]; a batch of the graph is a
 * range of slots, and a sequence is moved to another slot by copying the rows it has filled.
 *
 * Beside the slots lie blocks of shape [heads, blockTokens, headSize] per tensor, which the graph never sees: rows are
 * copied out of a slot to be kept and into a slot to be used again. What a block holds is the prefix store's business.
 *
 * Where the graph can not write in place, its outputs go to a second set of tensors and the new rows are copied back,
 * so that nobody outside this file has to know which set is the current one.
 */
import type { Manifest } from '../model/manifest.ts'

export type CacheElements = Float32Array | Uint16Array

export interface CacheTensor {
  /** As in the graph: `k.0`, `v.0`, `k.1`, …; its input is `past_<name>`, its output `present_<name>`. */
  readonly name: string
  /** All slots; float16 as its bits. */
  readonly past: CacheElements
  /** Where the graph writes: `past` itself when it works in place. */
  readonly present: CacheElements
}

export interface KeyValueCache {
  readonly slots: number
  /** Tokens of one slot. */
  readonly slotLength: number
  readonly blocks: number
  readonly tensors: readonly CacheTensor[]
  /** Elements of one slot in one tensor. */
  readonly slotElements: number
  /** Copies a sequence's first `length` positions. */
  move(from: number, to: number, length: number): void
  /** Zeroes a slot's first `length` positions. */
  clear(slot: number, length: number): void
  /** Takes over what a run wrote: the last `newTokens` positions of sequences of these lengths. */
  takeOver(firstSlot: number, lengths: readonly number[], newTokens: number): void
  /** Copies `blockTokens` positions of a slot, from `position` on, into a block. */
  saveBlock(block: number, slot: number, position: number): void
  /** Copies a block into a slot, from `position` on. */
  loadBlock(block: number, slot: number, position: number): void
}

/** Positions of one block. */
export const blockTokens = 32

type Shape = Pick<Manifest, 'layers' | 'heads' | 'headSize' | 'contextLength' | 'kvType' | 'kvInPlace'>

const elementTypes = { float32: Float32Array, float16: Uint16Array } as const

/** Bytes of one position of all layers: in a slot, and in a block, of which there is never a second set. */
export function bytesPerToken({ layers, heads, headSize, kvType, kvInPlace }: Shape): { readonly slot: number; readonly block: number } {
  const block = layers * 2 * heads * headSize * elementTypes[kvType].BYTES_PER_ELEMENT
  return { slot: block * (kvInPlace ? 1 : 2), block }
}

export interface CacheSizes {
  /** Tokens of one slot; default the model's context. */
  readonly slotLength?: number
  /** Default none. */
  readonly blocks?: number
}

export function createKeyValueCache(shape: Shape, slots: number, { slotLength = shape.contextLength, blocks = 0 }: CacheSizes = {}): KeyValueCache {
  const { layers, heads, headSize, kvType, kvInPlace } = shape
  const headElements = slotLength * headSize
  const slotElements = heads * headElements
  const blockHeadElements = blockTokens * headSize
  const allocate = (elements: number): CacheElements => new elementTypes[kvType](elements)
  const tensors = Array.from({ length: layers }, (_, layer) =>
    ['k', 'v'].map((part) => {
      const past = allocate(slots * slotElements)
      const present = kvInPlace ? past : allocate(slots * slotElements)
      return { name: `${part}.${layer}`, past, present, kept: allocate(blocks * heads * blockHeadElements) }
    }),
  ).flat()
  const startOf = (slot: number, head: number): number => slot * slotElements + head * headElements

  /** Calls back with the first element of each head's rows in a slot and in a block. */
  function eachHead(block: number, slot: number, position: number, copy: (inSlot: number, inBlock: number) => void): void {
    for (let head = 0; head < heads; head++) copy(startOf(slot, head) + position * headSize, (block * heads + head) * blockHeadElements)
  }

  return {
    slots,
    slotLength,
    blocks,
    tensors,
    slotElements,
    move(from, to, length) {
      for (const { past } of tensors) {
        for (let head = 0; head < heads; head++) {
          const source = startOf(from, head)
          past.copyWithin(startOf(to, head), source, source + length * headSize)
        }
      }
    },
    clear(slot, length) {
      for (const { past } of tensors) {
        for (let head = 0; head < heads; head++) {
          const start = startOf(slot, head)
          past.fill(0, start, start + length * headSize)
        }
      }
    },
    takeOver(firstSlot, lengths, newTokens) {
      if (kvInPlace) return
      for (const { past, present } of tensors) {
        lengths.forEach((length, index) => {
          for (let head = 0; head < heads; head++) {
            const start = startOf(firstSlot + index, head)
            const [from, to] = [start + (length - newTokens) * headSize, start + length * headSize]
            past.set(present.subarray(from, to), from)
          }
        })
      }
    },
    saveBlock(block, slot, position) {
      for (const { past, kept } of tensors) {
        eachHead(block, slot, position, (inSlot, inBlock) => kept.set(past.subarray(inSlot, inSlot + blockHeadElements), inBlock))
      }
    },
    loadBlock(block, slot, position) {
      for (const { past, kept } of tensors) {
        eachHead(block, slot, position, (inSlot, inBlock) => past.set(kept.subarray(inBlock, inBlock + blockHeadElements), inSlot))
      }
    },
  }
}
