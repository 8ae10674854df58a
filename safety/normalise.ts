/**
 * The normaliser sees a text as a reader does and not as it is encoded. It reads code points one at a time and hands on
 * *letters*: compatibility decomposed (NFKD), without marks and invisible characters, lookalikes replaced, lower case,
 * a run of one repeated letter made one letter with a count, and what stood between two letters reduced to a *gap*. Each letter
 * knows its place in the original text, so a match can be pointed at and its first byte withheld.
 *
 * Whether `1` is an i, an l or a one, whether `b o m b` is a word and whether `oo` is an o are not decided here: the same
 * text has several readings, and only the phrase that is looked for can tell (lexicon/matcher.ts).
 *
 * Every decision needs at most the next visible character, memory is constant, and time is linear.
 */
import { lookalikeOf } from './confusables.ts'

/** `none`: the letters touch. `dot`: a sign that people put inside words to hide them. `space`: anything else. */
export type Gap = 'none' | 'dot' | 'space'

export interface Letter {
  /** Code point: a letter, a digit, or one of the signs that stand for letters (`$ @ ! | *`). */
  readonly code: number
  /** How often it stands there in a row. */
  readonly run: number
  /** What lies between this letter and the one before; `space` for the first. */
  readonly gap: Gap
  /** UTF-16 indices [start, end) in the original text. */
  readonly start: number
  readonly end: number
  /** Nothing that belongs to a word follows directly. */
  readonly endsWord: boolean
  /** Numbers of the word and of the sentence that the letter stands in, counted from the start of the text. */
  readonly word: number
  readonly sentence: number
}

export type Disguise = 'invisible-run' | 'padding'

export interface LetterSink {
  letter(letter: Letter): void
  /** Nothing that follows belongs to what came before. */
  break(): void
  /** Something that only hides text was met at [start, end). */
  disguise(kind: Disguise, start: number, end: number): void
}

export interface Normaliser {
  push(codePoint: number, start: number, end: number): void
  end(): void
  /** The start of what has been read but not yet handed on: all before it has been seen by the sink. */
  undecidedFrom(): number
}

/** Invisible characters in a row that no honest text has. */
export const invisibleLimit = 64
/** UTF-16 units without a new letter after which a text is cut in two: what bounds the memory of all that follows. */
export const paddingLimit = 4096

const space = 0x20
const none: readonly number[] = []
const invisible = /^[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]$/u
const wordCharacter = /^[\p{L}\p{N}]$/u
const unspacedScript = /^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]$/u

const codesOf = (characters: string): ReadonlySet<number> => new Set(Array.from(characters, (character) => character.codePointAt(0) ?? 0))
/** Stand for a letter beside one: `@ss`, `a$$`. */
const signsBesideLetters = codesOf('@$')
/** Stand for a letter between two: `sh!t`, `f*ck`. The apostrophe there stands for nothing. */
const signsBetweenLetters = codesOf("!|*'")
const apostrophe = 0x27
const dots = codesOf('._~^=')
const sentenceEnds = codesOf('.!?…。！？')

export function isSign(code: number): boolean {
  return signsBesideLetters.has(code) || signsBetweenLetters.has(code)
}

interface OpenLetter {
  code: number
  run: number
  gap: Gap
  start: number
  end: number
}

export function createNormaliser(sink: LetterSink): Normaliser {
  let position = 0
  let word = 0
  let sentence = 0
  /** The letter that may still be repeated. */
  let open: OpenLetter | null = null
  let gap: Gap = 'space'
  let signs: { code: number; start: number; end: number }[] = []
  let invisibleStart = 0
  let invisibleCount = 0
  let lastAdvance = 0
  let sentenceEnding = false
  let newlines = 0

  const close = (endsWord: boolean): void => {
    if (open === null) return
    if (open.gap !== 'none') word += 1
    const { code, run, start, end } = open
    const letter = { code, run, gap: open.gap, start, end, endsWord, word, sentence }
    open = null
    gap = 'none'
    sink.letter(letter)
  }

  const takeLetter = (code: number, start: number, end: number): void => {
    if (open !== null && open.code === code) {
      open.run += 1
      open.end = end
      return
    }
    close(isSign(code) || isUnspaced(code))
    open = { code, run: 1, gap, start, end }
    gap = 'none'
    lastAdvance = end
    sentenceEnding = false
    newlines = 0
  }

  const takeSeparator = (code: number): void => {
    close(true)
    if (sentenceEnds.has(code)) sentenceEnding = true
    else if (code === space || code === 0x0a) {
      newlines += code === 0x0a ? 1 : 0
      if (sentenceEnding || newlines === 2) {
        sentence += 1
        sentenceEnding = false
        newlines = 0
      }
    }
    if (!dots.has(code)) gap = 'space'
    else if (gap === 'none') gap = 'dot'
  }

  /** Signs wait for the character after them, which decides what they are. */
  const settleSigns = (letterFollows: boolean): void => {
    if (signs.length === 0) return
    const waiting = signs
    signs = []
    const letterBefore = open !== null
    for (const sign of waiting) {
      const stands = signsBesideLetters.has(sign.code) ? letterBefore || letterFollows : letterBefore && letterFollows
      if (!stands) takeSeparator(sign.code)
      else if (sign.code !== apostrophe) takeLetter(sign.code, sign.start, sign.end)
    }
  }

  const takeVisible = (code: number, start: number, end: number): void => {
    invisibleCount = 0
    if (isSign(code)) {
      signs.push({ code, start, end })
      return
    }
    const isLetter = isWordCharacter(code)
    settleSigns(isLetter)
    if (isLetter) takeLetter(code, start, end)
    else takeSeparator(code)
  }

  const takeInvisible = (start: number, end: number): void => {
    if (invisibleCount === 0) invisibleStart = start
    invisibleCount += 1
    if (invisibleCount === invisibleLimit) sink.disguise('invisible-run', invisibleStart, end)
  }

  const cut = (end: number): void => {
    sink.disguise('padding', lastAdvance, end)
    settleSigns(false)
    close(true)
    sink.break()
    gap = 'space'
    sentence += 1
    lastAdvance = end
  }

  return {
    push(codePoint, start, end) {
      position = end
      if (codePoint < 0x80) takeVisible(foldAscii(codePoint), start, end)
      else {
        const folded = fold(codePoint)
        if (folded.length === 0) takeInvisible(start, end)
        for (const code of folded) takeVisible(code, start, end)
      }
      if (end - lastAdvance >= paddingLimit) cut(end)
    },
    end() {
      settleSigns(false)
      close(true)
      invisibleCount = 0
    },
    undecidedFrom() {
      let from = position
      if (invisibleCount > 0) from = Math.min(from, invisibleStart)
      const firstSign = signs[0]
      if (firstSign !== undefined) from = Math.min(from, firstSign.start)
      if (open !== null) from = Math.min(from, open.start)
      return from
    },
  }
}

/** All letters of a text at once. */
export function lettersOf(text: string): Letter[] {
  const letters: Letter[] = []
  const normaliser = createNormaliser({ letter: (letter) => letters.push(letter), break() {}, disguise() {} })
  let position = 0
  for (const character of text) {
    normaliser.push(character.codePointAt(0) ?? 0, position, position + character.length)
    position += character.length
  }
  normaliser.end()
  return letters
}

function foldAscii(code: number): number {
  if (code >= 0x41 && code <= 0x5a) return code + 0x20
  if (code === 0x60) return apostrophe
  if (code === 0x0a) return code
  return code <= space ? space : code
}

/**
 * The visible characters that a code point outside ASCII stands for: none for marks and invisible ones. Decomposition
 * never looks at neighbours, so doing it one code point at a time equals doing it on the whole text (UAX 15).
 */
function fold(codePoint: number): readonly number[] {
  if (codePoint >= 0xd800 && codePoint <= 0xdfff) return [space]
  // Tag characters show nothing but copy ASCII, and models read them.
  if (codePoint >= 0xe0020 && codePoint < 0xe007f) return [foldAscii(codePoint - 0xe0000)]
  const original = String.fromCodePoint(codePoint)
  if (invisible.test(original)) return none
  const folded: number[] = []
  for (const character of original.normalize('NFKD')) {
    if (invisible.test(character)) continue
    const lower = character.toLowerCase()
    const code = lookalikeOf(lower.codePointAt(0) ?? space)
    folded.push(code < 0x80 ? foldAscii(code) : code)
  }
  return folded.length === 0 ? [space] : folded
}

function isWordCharacter(code: number): boolean {
  if (code < 0x80) return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)
  return wordCharacter.test(String.fromCodePoint(code))
}

function isUnspaced(code: number): boolean {
  return code >= 0x0e00 && unspacedScript.test(String.fromCodePoint(code))
}
