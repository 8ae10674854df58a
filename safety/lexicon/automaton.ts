/**
 * An Aho-Corasick automaton (Aho & Corasick 1975, doi:10.1145/360825.360855) over small integer symbols: it finds every
 * pattern that ends at a symbol in one table look-up per symbol. The failure links are folded into the transition table;
 * they are kept too, because walking them lists the unfinished patterns that the text read so far may still become.
 */

export interface Automaton {
  /** The state after reading `symbol` (0 <= symbol < symbols) in `state`. State 0 has read nothing of any pattern. */
  next(state: number, symbol: number): number
  /** Indices of the patterns that end in this state, the longest first. */
  matches(state: number): readonly number[]
  /** How many symbols the longest unfinished pattern of this state has matched. */
  depth(state: number): number
  /** The state of the next shorter unfinished pattern. */
  shorter(state: number): number
  /** Whether a pattern that was marked goes on through this very state (not through a shorter one). */
  leadsToMarked(state: number): boolean
}

/**
 * Builds the automaton; its table takes 4 bytes per state and symbol.
 * `isMarked` tells which patterns `leadsToMarked` is about.
 */
export function buildAutomaton(patterns: readonly (readonly number[])[], symbols: number, isMarked: (pattern: number) => boolean): Automaton {
  // The trie first, sparse: phrases share their beginnings, so there are far fewer states than letters.
  const trie: Map<number, number>[] = [new Map()]
  const ends: (number[] | undefined)[] = []
  const depthOf: number[] = [0]
  const marked = new Set<number>()
  for (const [index, pattern] of patterns.entries()) {
    let state = 0
    for (const symbol of pattern) {
      if (isMarked(index)) marked.add(state)
      let child = trie[state]?.get(symbol)
      if (child === undefined) {
        child = trie.push(new Map()) - 1
        depthOf[child] = (depthOf[state] ?? 0) + 1
        trie[state]?.set(symbol, child)
      }
      state = child
    }
    ;(ends[state] ??= []).push(index)
  }

  const transitions = new Int32Array(trie.length * symbols)
  const failures = new Int32Array(trie.length)
  // Breadth first: a state's failure state is shallower, so it is complete when it is needed.
  const queue = [0]
  for (let head = 0; head < queue.length; head += 1) {
    const state = queue[head] ?? 0
    const failure = failures[state] ?? 0
    const inherited = state === 0 ? undefined : ends[failure]
    if (inherited !== undefined) ends[state] = [...(ends[state] ?? []), ...inherited]
    if (state !== 0) transitions.copyWithin(state * symbols, failure * symbols, (failure + 1) * symbols)
    for (const [symbol, child] of trie[state] ?? []) {
      failures[child] = transitions[state * symbols + symbol] ?? 0
      transitions[state * symbols + symbol] = child
      queue.push(child)
    }
  }

  const nothing: readonly number[] = []
  return {
    next: (state, symbol) => transitions[state * symbols + symbol] ?? 0,
    matches: (state) => ends[state] ?? nothing,
    depth: (state) => depthOf[state] ?? 0,
    shorter: (state) => failures[state] ?? 0,
    leadsToMarked: (state) => marked.has(state),
  }
}
