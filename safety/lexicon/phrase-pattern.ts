/**
 * One phrase, as it is looked for. The automaton works on a coarse *skeleton* in which letters that may stand for each
 * other are one symbol, runs are one letter and gaps are gone; it finds candidates in every disguise at once. What the
 * skeleton forgot is checked here, on the few candidates: are the letters possible readings, are double letters at
 * least double, do words begin and end where words do, and is a word either whole or spaced out altogether?
 */
import { isSign, lettersOf } from '../normalise.ts'
import type { Letter } from '../normalise.ts'

export interface PhrasePattern {
  readonly letters: readonly { readonly code: number; readonly run: number; readonly startsWord: boolean }[]
}

/** Letters spaced out in a row, fewer than which are an enumeration and not a word: F A G are notes. */
const fewestSpacedLetters = 4

const readings: Readonly<Record<string, string>> = {
  '0': 'o', '1': 'il', '2': 'z', '3': 'e', '4': 'a', '5': 's', '6': 'g', '7': 't', '8': 'b', '9': 'g',
  '@': 'a', $: 's', '!': 'il', '|': 'il',
}
const readingCodes = new Map(
  Object.entries(readings).map(([sign, letters]) => [sign.charCodeAt(0), Array.from(letters, (letter) => letter.charCodeAt(0))]),
)

const otherScriptSymbols = 8
const firstOtherScriptSymbol = 32
/** Size of the skeleton's alphabet. */
export const skeletonSymbols = firstOtherScriptSymbol + otherScriptSymbols

/** The skeleton's symbol for a letter; symbol 0 is in no phrase. */
export function skeletonSymbol(code: number): number {
  if (code >= 0x80) return firstOtherScriptSymbol + (code % otherScriptSymbols)
  const reading = readingCodes.get(code)?.[0] ?? code
  if (reading === 0x6c) return 0x69 - 0x60 // l is filed under i, because 1 and | may be either.
  if (reading >= 0x61 && reading <= 0x7a) return reading - 0x60
  return reading === 0x2a ? 27 : 0
}

/**
 * The patterns for a phrase: as it is written and, when it has double letters, as it looks with all letters apart.
 * Throws when the phrase has no letter or digit.
 */
export function patternsOf(phrase: string): PhrasePattern[] {
  const letters = lettersOf(phrase)
  if (letters.length === 0) throw new Error('A phrase needs at least one letter or digit.')
  const whole = letters.map(({ code, run, gap }) => ({ code, run, startsWord: gap !== 'none' }))
  if (whole.every(({ run }) => run === 1)) return [{ letters: whole }]
  const apart = whole.flatMap(({ code, run, startsWord }) =>
    Array.from({ length: run }, (_, index) => ({ code, run: 1, startsWord: startsWord && index === 0 })),
  )
  return [{ letters: whole }, { letters: apart }]
}

/** Whether a word may begin at `letter`, given the letter before it. */
export function mayStartWord(letter: Letter, before: Letter | undefined): boolean {
  return letter.gap !== 'none' || before === undefined || isSign(before.code) || before.endsWord
}

/**
 * Whether the letters `at(0)` … `at(length - 1)` of a text, whose skeletons equal the pattern's, are the phrase.
 * `at(-1)` is the letter before them, if any.
 */
export function isPhrase(pattern: PhrasePattern, at: (index: number) => Letter | undefined): boolean {
  const { letters } = pattern
  const last = at(letters.length - 1)
  const first = at(0)
  if (last === undefined || first === undefined || !last.endsWord || !mayStartWord(first, at(-1))) return false

  let spacedLetters = 0
  for (let start = 0; start < letters.length; ) {
    let end = start + 1
    while (end < letters.length && letters[end]?.startsWord === false) end += 1
    const shape = wordShape(pattern, start, end, at)
    if (shape === 'different') return false
    if (shape === 'spaced') {
      if (start === 0 && continuesSpacedWord(first, at(-1))) return false
      spacedLetters += end - start
    }
    start = end
  }
  return spacedLetters === 0 || spacedLetters >= fewestSpacedLetters
}

function wordShape(pattern: PhrasePattern, start: number, end: number, at: (index: number) => Letter | undefined): 'whole' | 'spaced' | 'different' {
  let literal = 0
  let dots = 0
  let spaces = 0
  for (let index = start; index < end; index += 1) {
    const wanted = pattern.letters[index]
    const letter = at(index)
    if (wanted === undefined || letter === undefined || letter.run < wanted.run) return 'different'
    if (letter.code === wanted.code) literal += 1
    else if (readingCodes.get(letter.code)?.includes(wanted.code) !== true) return 'different'
    if (index > start && letter.gap === 'dot') dots += 1
    if (index > start && letter.gap === 'space') spaces += 1
    if (index === start && index > 0 && !mayStartWord(letter, at(index - 1))) return 'different'
  }
  const length = end - start
  // 455 is a number, n1663r is not.
  if (literal * (length <= 4 ? 2 : 3) < length) return 'different'
  if (spaces === 0) return 'whole'
  return spaces + dots === length - 1 ? 'spaced' : 'different'
}

/** In `c l a s s` no word begins at the a; in `a b o m b` one begins at the b, because a and i are words. */
function continuesSpacedWord(first: Letter, before: Letter | undefined): boolean {
  const isWordAlone = before?.code === 0x61 || before?.code === 0x69
  return before !== undefined && before.gap !== 'none' && before.endsWord && first.gap !== 'none' && !isWordAlone
}
