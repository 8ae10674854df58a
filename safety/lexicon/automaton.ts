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
  // The trie first, in the table that later holds the transitions: 0 means that no pattern goes on there.
  let table = new Int32Array(1024 * symbols)
  const depths = [0]
  const ends: (number[] | undefined)[] = []
  const marked = new Set<number>()
  for (const [index, pattern] of patterns.entries()) {
    let state = 0
    for (const symbol of pattern) {
      if (isMarked(index)) marked.add(state)
      const edge = state * symbols + symbol
      if (table[edge] === 0) {
        table[edge] = depths.push((depths[state] ?? 0) + 1) - 1
        if (depths.length * symbols > table.length) {
          const larger = new Int32Array(table.length * 2)
          larger.set(table)
          table = larger
        }
      }
      state = table[edge] ?? 0
    }
    ;(ends[state] ??= []).push(index)
  }

  const states = depths.length
  const transitions = table.slice(0, states * symbols)
  const failures = new Int32Array(states)
  // Breadth first: a state's failure state is shallower, so its row is complete when it is needed.
  const queue = new Int32Array(states)
  let queued = 1
  for (const state of queue) {
    const failure = failures[state] ?? 0
    const inherited = state === 0 ? undefined : ends[failure]
    if (inherited !== undefined) ends[state] = [...(ends[state] ?? []), ...inherited]
    for (let symbol = 0; symbol < symbols; symbol += 1) {
      const fallback = state === 0 ? 0 : (transitions[failure * symbols + symbol] ?? 0)
      const child = transitions[state * symbols + symbol] ?? 0
      if (child === 0) transitions[state * symbols + symbol] = fallback
      else {
        failures[child] = fallback
        queue[queued] = child
        queued += 1
      }
    }
  }

  const nothing: readonly number[] = []
  return {
    next: (state, symbol) => transitions[state * symbols + symbol] ?? 0,
    matches: (state) => ends[state] ?? nothing,
    depth: (state) => depths[state] ?? 0,
    shorter: (state) => failures[state] ?? 0,
    leadsToMarked: (state) => marked.has(state),
  }
}
