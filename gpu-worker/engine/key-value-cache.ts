/**
 * The KV cache: slots of fixed length, all memory taken at once, so that a sequence that has started never runs out of
 * it. Per layer two tensors (keys, values) of shape [slots, heads, contextLength, headSize]; a batch of the graph is a
 * range of slots, and a sequence is moved to another slot by copying the rows it has filled.
 *
 * Where the graph can not write in place, its outputs go to a second set of tensors and the new rows are copied back,
 * so that nobody outside this file has to know which set is the current one.
 */
import type { Manifest } from '../model/manifest.ts'
import { EngineError } from './engine.ts'

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
  readonly tensors: readonly CacheTensor[]
  /** Elements of one slot in one tensor. */
  readonly slotElements: number
  /** Copies a sequence's first `length` positions. */
  move(from: number, to: number, length: number): void
  /** Zeroes a slot's first `length` positions. */
  clear(slot: number, length: number): void
  /** Takes over what a run wrote: the last `newTokens` positions of sequences of these lengths. */
  takeOver(firstSlot: number, lengths: readonly number[], newTokens: number): void
}

type Shape = Pick<Manifest, 'layers' | 'heads' | 'headSize' | 'contextLength' | 'kvType' | 'kvInPlace'>

const elementTypes = { float32: Float32Array, float16: Uint16Array } as const

export function bytesPerSlot({ layers, heads, headSize, contextLength, kvType, kvInPlace }: Shape): number {
  return layers * 2 * heads * headSize * contextLength * elementTypes[kvType].BYTES_PER_ELEMENT * (kvInPlace ? 1 : 2)
}

/** As many slots as wanted, or as the budget holds. Throws `EngineError` `start-failed` when it does not hold one. */
export function slotsWithin(shape: Shape, wanted: number, budgetBytes: number): number {
  const bytes = bytesPerSlot(shape)
  const slots = Math.min(wanted, Math.floor(budgetBytes / bytes))
  if (slots >= 1) return slots
  const mebibytes = (value: number): string => `${Math.ceil(value / 2 ** 20)} MiB`
  throw new EngineError(
    'start-failed',
    `The KV cache of one sequence of ${shape.contextLength} tokens takes ${mebibytes(bytes)}, and the budget is ${mebibytes(budgetBytes)}.`,
  )
}

export function createKeyValueCache(shape: Shape, slots: number): KeyValueCache {
  const { layers, heads, headSize, contextLength, kvType, kvInPlace } = shape
  const headElements = contextLength * headSize
  const slotElements = heads * headElements
  const allocate = (): CacheElements => new elementTypes[kvType](slots * slotElements)
  const tensors = Array.from({ length: layers }, (_, layer) =>
    ['k', 'v'].map((part): CacheTensor => {
      const past = allocate()
      return { name: `${part}.${layer}`, past, present: kvInPlace ? past : allocate() }
    }),
  ).flat()

  return {
    slots,
    tensors,
    slotElements,
    move(from, to, length) {
      for (const { past } of tensors) {
        for (let head = 0; head < heads; head++) {
          const source = from * slotElements + head * headElements
          past.copyWithin(to * slotElements + head * headElements, source, source + length * headSize)
        }
      }
    },
    clear(slot, length) {
      for (const { past } of tensors) {
        for (let head = 0; head < heads; head++) {
          const start = slot * slotElements + head * headElements
          past.fill(0, start, start + length * headSize)
        }
      }
    },
    takeOver(firstSlot, lengths, newTokens) {
      if (kvInPlace) return
      for (const { past, present } of tensors) {
        lengths.forEach((length, index) => {
          for (let head = 0; head < heads; head++) {
            const start = (firstSlot + index) * slotElements + head * headElements
            const [from, to] = [start + (length - newTokens) * headSize, start + length * headSize]
            past.set(present.subarray(from, to), from)
          }
        })
      }
    },
  }
}
