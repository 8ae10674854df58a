/** The lexicon and a policy's own phrases, made into one automaton. Done once per policy. */
import type { Policy } from '../policy.ts'
import { buildAutomaton } from './automaton.ts'
import type { Automaton } from './automaton.ts'
import type { Join, LexiconSource, PairEntry, PhraseEntry } from './entry.ts'
import { lexicon } from './lexicon.ts'
import { phrasesOf } from './notation.ts'
import { patternsOf, skeletonSymbol, skeletonSymbols } from './phrase-pattern.ts'
import type { PhrasePattern } from './phrase-pattern.ts'

/** What it means that a phrase was found. */
export type PhraseMeaning =
  | { readonly type: 'entry'; readonly entry: PhraseEntry }
  | { readonly type: 'part'; readonly part: string }
  | { readonly type: 'exception' }
  | { readonly type: 'blocked' }

export interface CompiledPhrase extends PhrasePattern {
  readonly meaning: PhraseMeaning
}

export interface CompiledLexicon {
  readonly automaton: Automaton
  readonly phrases: readonly CompiledPhrase[]
  /** Pairs of parts that fire, and pairs that are a part. */
  readonly pairs: readonly (PairEntry | Join)[]
  /** Letters of the longest phrase. */
  readonly longest: number
}

const compiled = new WeakMap<Policy, CompiledLexicon>()

/**
 * The compiled lexicon of a policy object. Compiling takes some 200 ms on a slow core and happens on first use, so keep
 * one object per policy.
 */
export function lexiconFor(policy: Policy): CompiledLexicon {
  const known = compiled.get(policy)
  if (known !== undefined) return known
  const fresh = compileLexicon(lexicon, policy)
  compiled.set(policy, fresh)
  return fresh
}

export function compileLexicon(source: LexiconSource, policy: Pick<Policy, 'allowlist' | 'blocklist'>): CompiledLexicon {
  const phrases: CompiledPhrase[] = []
  const add = (texts: readonly string[], meaning: PhraseMeaning): void => {
    for (const text of texts) for (const pattern of patternsOf(text)) phrases.push({ ...pattern, meaning })
  }
  for (const entry of source.entries) if ('phrases' in entry) add(phrasesOf(entry.phrases), { type: 'entry', entry })
  for (const [part, lines] of Object.entries(source.parts)) add(phrasesOf(lines), { type: 'part', part })
  add(phrasesOf(source.exceptions), { type: 'exception' })
  add(policy.allowlist, { type: 'exception' })
  add(policy.blocklist, { type: 'blocked' })
  return {
    automaton: buildAutomaton(
      phrases.map(({ letters }) => letters.map(({ code }) => skeletonSymbol(code))),
      skeletonSymbols,
      (index) => phrases[index]?.meaning.type === 'exception',
    ),
    phrases,
    pairs: [...source.joins, ...source.entries.filter((entry) => 'first' in entry)],
    longest: phrases.reduce((longest, { letters }) => Math.max(longest, letters.length), 0),
  }
}
