/** What an entry of the lexicon is. The entries themselves stand in the files beside this one, a category each. */
import type { Category } from '../verdict.ts'

/** What shows that words are reported, discussed or negated rather than said, and for how many words after it. */
export const mitigations = { report: 12, negation: 2 } as const
export type Mitigation = keyof typeof mitigations

interface EntryBase {
  readonly category: Category
  readonly rule: string
  /** From 0.8 on the default policy blocks, from 0.5 on it reviews. */
  readonly score: number
  /** Parts that lower the score to `mitigatedScore` when they stand shortly before, in the same sentence. */
  readonly mitigatedBy: readonly Mitigation[]
}

/** Fires wherever one of its phrases stands. */
export interface PhraseEntry extends EntryBase {
  readonly phrases: string
}

/** Two parts in one sentence, close together. */
interface Pair {
  readonly first: string
  readonly second: string
  /** `second` may also come first. */
  readonly anyOrder: boolean
  /** Words from the end of the earlier one to the end of the later one, at most. */
  readonly within: number
}

/** Fires where both parts stand. */
export interface PairEntry extends EntryBase, Pair {}

/** Where both parts stand, together they are a part themselves. */
export interface Join extends Pair {
  readonly part: string
}

export interface LexiconSource {
  readonly entries: readonly (PhraseEntry | PairEntry)[]
  /** Named sets of phrases that mean nothing alone. */
  readonly parts: Readonly<Record<string, string>>
  readonly joins: readonly Join[]
  /** Harmless phrases: nothing that lies inside one fires. */
  readonly exceptions: string
}

/** The highest score that a mitigated entry can have. */
export const mitigatedScore = 0.6
