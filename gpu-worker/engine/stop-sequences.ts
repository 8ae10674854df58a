/**
 * Finds stop sequences in a text that arrives in pieces. A stop sequence takes effect at the first position where one is
 * complete; where several end at that position, the longest one counts. So the result does not depend on how the text
 * was cut, and the text before it contains no stop sequence.
 *
 * Text is held back only while it may be the beginning of a stop sequence. One Knuth-Morris-Pratt automaton per stop
 * sequence (SIAM J. Comput. 6(2), 1977) makes that linear in the text whatever the stop sequences are.
 */

export interface StopMatcher {
  /** Returns the text that is free to leave; `stopped` is true from the match on, and then nothing more comes out. */
  push(text: string): { readonly text: string; readonly stopped: boolean }
  /** No more text comes: returns what was held back. */
  end(): string
}

/** Stop sequences that are not well-formed Unicode are left out: no text of ours can contain them. */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  const automata = stops.filter((stop) => stop !== '' && stop.isWellFormed()).map(createAutomaton)
  /** Text that did not leave yet: at the end of a push, the longest beginning of a stop sequence. */
  let held = ''
  let stopped = false

  return {
    push(text) {
      if (stopped) return { text: '', stopped }
      const all = held + text
      for (let index = held.length; index < all.length; index++) {
        const unit = all.charCodeAt(index)
        let matchLength = 0
        for (const automaton of automata) {
          if (automaton.step(unit)) matchLength = Math.max(matchLength, automaton.length)
        }
        if (matchLength > 0) {
          stopped = true
          held = ''
          return { text: all.slice(0, index + 1 - matchLength), stopped }
        }
      }
      const keep = automata.reduce((longest, automaton) => Math.max(longest, automaton.matched), 0)
      held = all.slice(all.length - keep)
      return { text: all.slice(0, all.length - keep), stopped }
    },
    end() {
      const rest = held
      held = ''
      return rest
    },
  }
}

interface Automaton {
  readonly length: number
  /** Length of the longest beginning of the stop sequence that the text so far ends in. */
  readonly matched: number
  /** Takes the next UTF-16 unit; true when the stop sequence is complete. */
  step(unit: number): boolean
}

function createAutomaton(stop: string): Automaton {
  /** For each beginning of length n + 1: the longest shorter beginning that it ends in. */
  const fallback = new Uint32Array(stop.length)
  const advance = (from: number, unit: number): number => {
    let matched = from
    while (matched > 0 && stop.charCodeAt(matched) !== unit) matched = fallback[matched - 1]!
    return stop.charCodeAt(matched) === unit ? matched + 1 : 0
  }
  for (let index = 1; index < stop.length; index++) fallback[index] = advance(fallback[index - 1]!, stop.charCodeAt(index))
  let matched = 0
  return {
    length: stop.length,
    get matched() {
      return matched
    },
    step(unit) {
      matched = advance(matched, unit)
      return matched === stop.length
    },
  }
}
