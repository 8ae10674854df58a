/**
 * Runs the lexicon over a text that arrives one code point at a time. A finding is reported as soon as nothing that
 * follows can take it back, and `settled` says up to where nothing that follows can add one: the text from there on is
 * part of a phrase, or of a pair of phrases, that may still be completed. Both depend on the characters read so far and
 * on nothing else. Memory is constant but for the phrases that wait; time per character is bounded.
 */
import { createNormaliser } from '../normalise.ts'
import type { Disguise, Letter } from '../normalise.ts'
import { actionFor } from '../policy.ts'
import type { Policy } from '../policy.ts'
import type { Category, Finding } from '../verdict.ts'
import { lexiconFor } from './compiled-lexicon.ts'
import type { CompiledLexicon, CompiledPhrase } from './compiled-lexicon.ts'
import { mitigatedScore, mitigations } from './entry.ts'
import type { Mitigation, PairEntry, PhraseEntry } from './entry.ts'
import { isPhrase, mayStartWord, skeletonSymbol } from './phrase-pattern.ts'

export interface Scanner {
  push(codePoint: number, start: number, end: number): void
  /** The text ends here; reports what was waiting. */
  end(): void
  /** UTF-16 index up to which the text is in no finding that is not reported yet, whatever follows. */
  settled(): number
}

/** A phrase that was found, with the words and sentence it stands in. */
interface Hit {
  readonly phrase: CompiledPhrase
  readonly start: number
  readonly end: number
  readonly firstWord: number
  readonly lastWord: number
  readonly sentence: number
}

interface PartHit extends Hit {
  readonly part: string
}

const disguiseScores: Readonly<Record<Disguise, number>> = { 'invisible-run': 1, padding: 0.6 }

export function createScanner(policy: Policy, report: (finding: Finding) => void): Scanner {
  const lexicon = lexiconFor(policy)
  const { automaton } = lexicon
  const reaches = reachOfParts(lexicon)
  const ring: Letter[] = []
  const ringSize = lexicon.longest + 1
  let letterCount = 0
  let state = 0
  /** Found, but perhaps the beginning of a harmless phrase. */
  let waiting: Hit[] = []
  /** Parts that a later one may still join. */
  let parts: PartHit[] = []
  let lastFinding: Finding | null = null

  const letterAt = (index: number): Letter | undefined => (index < 0 ? undefined : ring[index % ringSize])

  const find = (category: Category, rule: string, score: number, start: number, end: number): void => {
    const action = actionFor(policy, category, score)
    const repeated = lastFinding?.rule === rule && lastFinding.span[0] === start && lastFinding.span[1] === end
    if (action === 'allow' || repeated) return
    lastFinding = { category, rule, tier: 'lexicon', score, span: [start, end], action }
    report(lastFinding)
  }

  const isMitigated = (hit: Hit, by: readonly Mitigation[]): boolean =>
    by.some((mitigation) =>
      parts.some(
        ({ part, lastWord, sentence }) =>
          part === mitigation &&
          sentence === hit.sentence &&
          lastWord <= hit.firstWord &&
          hit.firstWord - lastWord <= mitigations[mitigation],
      ),
    )

  /** `hits`: the phrase, or the two parts in the order in which they stand. */
  const findEntry = (entry: PhraseEntry | PairEntry, hits: readonly [Hit] | readonly [Hit, Hit]): void => {
    const mitigated = hits.some((hit) => isMitigated(hit, entry.mitigatedBy))
    const [first, last = first] = hits
    find(entry.category, entry.rule, mitigated ? Math.min(entry.score, mitigatedScore) : entry.score, first.start, last.end)
  }

  const joinParts = (hit: PartHit): void => {
    for (const earlier of parts) {
      const words = hit.lastWord - earlier.lastWord
      if (earlier.end > hit.start || earlier.sentence !== hit.sentence) continue
      if (hit.end - earlier.start > policy.sluice.contextCharacters) continue
      for (const pair of lexicon.pairs) {
        const inOrder = pair.first === earlier.part && pair.second === hit.part
        const reversed = pair.anyOrder && pair.second === earlier.part && pair.first === hit.part
        if ((!inOrder && !reversed) || words > pair.within) continue
        if ('part' in pair) joinParts({ ...hit, start: earlier.start, firstWord: earlier.firstWord, part: pair.part })
        else findEntry(pair, [earlier, hit])
      }
    }
    if (reaches.has(hit.part)) parts.push(hit)
  }

  const confirm = (hit: Hit): void => {
    const { meaning } = hit.phrase
    if (meaning.type === 'entry') findEntry(meaning.entry, [hit])
    else if (meaning.type === 'part') joinParts({ ...hit, part: meaning.part })
  }

  /** The longest unfinished phrase that `accept`s its state and begins with a word; its start, or null. */
  const unfinishedFrom = (accept: (state: number) => boolean): number | null => {
    for (let unfinished = state; unfinished !== 0; unfinished = automaton.shorter(unfinished)) {
      const index = letterCount - automaton.depth(unfinished)
      const first = letterAt(index)
      if (first !== undefined && accept(unfinished) && mayStartWord(first, letterAt(index - 1))) return first.start
    }
    return null
  }

  const confirmWaiting = (): void => {
    if (waiting.length === 0) return
    const exceptionFrom = unfinishedFrom(automaton.leadsToMarked)
    const ready = waiting.filter(({ start }) => exceptionFrom === null || start < exceptionFrom)
    if (ready.length === 0) return
    waiting = waiting.filter((hit) => !ready.includes(hit))
    for (const hit of ready) confirm(hit)
  }

  const takeMatches = (letter: Letter): void => {
    const harmless: number[] = []
    for (const index of automaton.matches(state)) {
      const phrase = lexicon.phrases[index]
      if (phrase === undefined) continue
      const first = letterCount - phrase.letters.length
      const firstLetter = letterAt(first)
      if (firstLetter === undefined || !isPhrase(phrase, (offset) => letterAt(first + offset))) continue
      const { start, word: firstWord } = firstLetter
      const { end, word: lastWord, sentence } = letter
      if (phrase.meaning.type === 'blocked') find('blocklist', 'blocklist', 1, start, end)
      else if (phrase.meaning.type === 'exception') harmless.push(start)
      else waiting.push({ phrase, start, end, firstWord, lastWord, sentence })
    }
    for (const start of harmless) waiting = waiting.filter((hit) => hit.start < start)
  }

  const isInReach = (part: PartHit, lastWord: number, sentence: number, end: number): boolean =>
    part.sentence === sentence &&
    lastWord - part.lastWord <= (reaches.get(part.part) ?? 0) &&
    end - part.start <= policy.sluice.contextCharacters

  const forgetParts = (letter: Letter): void => {
    if (parts.length === 0) return
    parts = parts.filter(
      (part) =>
        isInReach(part, letter.word, letter.sentence, letter.end) ||
        waiting.some((hit) => isInReach(part, hit.lastWord, hit.sentence, hit.end)),
    )
  }

  const normaliser = createNormaliser({
    letter(letter) {
      ring[letterCount % ringSize] = letter
      letterCount += 1
      state = automaton.next(state, skeletonSymbol(letter.code))
      if (letter.endsWord) takeMatches(letter)
      confirmWaiting()
      forgetParts(letter)
    },
    break() {
      state = 0
      confirmWaiting()
      parts = []
    },
    disguise: (kind, start, end) => find('evasion', kind, disguiseScores[kind], start, end),
  })

  return {
    push: normaliser.push,
    end() {
      normaliser.end()
      state = 0
      confirmWaiting()
    },
    settled() {
      // What waits lies inside an unfinished harmless phrase, so it needs no line of its own.
      let settled = Math.min(normaliser.undecidedFrom(), unfinishedFrom(() => true) ?? Infinity)
      for (const { part, start } of parts) if (!(part in mitigations)) settled = Math.min(settled, start)
      return settled
    },
  }
}

/** For each part that bears on what follows it: for how many words. */
function reachOfParts({ pairs }: CompiledLexicon): ReadonlyMap<string, number> {
  const reaches = new Map<string, number>(Object.entries(mitigations))
  for (const { first, second, anyOrder, within } of pairs) {
    for (const part of anyOrder ? [first, second] : [first]) reaches.set(part, Math.max(reaches.get(part) ?? 0, within))
  }
  return reaches
}
