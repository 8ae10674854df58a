/**
 * Who runs next, and in which slot: iteration-level ("continuous") batching as in Orca (Yu et al., OSDI 2022). Sequences
 * wait in the order of their arrival; one at a time has its prompt computed (prefill), and then it joins those that are
 * given a new token at every step (decode). The decoding ones are kept in slots 0 to n-1 without gaps, because a batch
 * of the graph is a range of slots.
 *
 * It knows nothing of tokens or tensors: where a sequence has to change its slot, the caller is told to move it.
 */

export interface Move {
  readonly from: number
  readonly to: number
}

export interface Scheduler<Sequence> {
  /** Takes a sequence in at the end of the queue. */
  add(sequence: Sequence): void
  /** The sequence to prefill and its slot; the next one that waits is taken when none is under way and a slot is free. */
  prefilling(): { readonly sequence: Sequence; readonly slot: number } | null
  /** The prefill is complete. The sequence belongs at the end of the decode batch; returns the move that takes it there. */
  join(): Move | null
  /** Sequences of the decode batch: the one at index i is in slot i. */
  readonly decoding: readonly Sequence[]
  /**
   * Takes a sequence out, wherever it is. `slot` is the one it left, if it had one; `move` brings the last sequence of
   * the decode batch into it.
   */
  remove(sequence: Sequence): { readonly slot: number | null; readonly move: Move | null }
  readonly idle: boolean
}

export function createScheduler<Sequence>(slots: number): Scheduler<Sequence> {
  const waiting = new Set<Sequence>()
  const decoding: Sequence[] = []
  // Its slot was the first behind the decode batch when it started. The batch only shrinks until it joins.
  let prefill: { readonly sequence: Sequence; readonly slot: number } | null = null

  return {
    add(sequence) {
      waiting.add(sequence)
    },
    prefilling() {
      const [next] = waiting
      if (prefill === null && next !== undefined && decoding.length < slots) {
        waiting.delete(next)
        prefill = { sequence: next, slot: decoding.length }
      }
      return prefill
    },
    join() {
      if (prefill === null) throw new Error('No sequence is being prefilled.')
      const move = prefill.slot === decoding.length ? null : { from: prefill.slot, to: decoding.length }
      decoding.push(prefill.sequence)
      prefill = null
      return move
    },
    decoding,
    remove(sequence) {
      if (prefill?.sequence === sequence) {
        const { slot } = prefill
        prefill = null
        return { slot, move: null }
      }
      const slot = decoding.indexOf(sequence)
      if (slot === -1) {
        waiting.delete(sequence)
        return { slot: null, move: null }
      }
      const last = decoding.pop()!
      if (slot === decoding.length) return { slot, move: null }
      decoding[slot] = last
      return { slot, move: { from: decoding.length, to: slot } }
    },
    get idle() {
      return waiting.size === 0 && prefill === null && decoding.length === 0
    },
  }
}
