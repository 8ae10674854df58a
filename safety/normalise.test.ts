import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lettersOf } from './normalise.ts'

/** Letters as text, a run as often as it stands there, gaps as a space, dots as a dot. */
function read(text: string): string {
  return lettersOf(text)
    .map(({ code, run, gap }, index) => `${index === 0 || gap === 'none' ? '' : gap === 'dot' ? '.' : ' '}${String.fromCodePoint(code).repeat(run)}`)
    .join('')
}

describe('a text is read as a reader sees it', () => {
  test.each([
    ['capitals', 'KILL İt', 'kill it'],
    ['full width, mathematical and circled letters', 'Ａ𝐛𝒸ⓓ🅔', 'abcde'],
    ['ligatures', 'ﬃ', 'ffi'],
    ['Cyrillic and Greek lookalikes', 'аеорсυν', 'aeopcuv'],
    ['marks', 'b́o̷m̈b', 'bomb'],
    ['invisible characters', 'b\u200bo\u00adm\u2060b\ufe0f', 'bomb'],
    ['tag characters', String.fromCodePoint(0xe0062, 0xe006f), 'bo'],
    ['apostrophes inside words', 'don’t can\'t', 'dont cant'],
    ['quotes around words', "'kill'", 'kill'],
    ['signs inside words', 'sh!t f*ck a$$ @ss', 'sh!t f*ck a$$ @ss'],
    ['signs that end a word', 'stop! no* |', 'stop no'],
    ['dots between letters', 'b.o_m', 'b.o.m'],
    ['other scripts', 'мир 杀', 'mиp 杀'],
    ['line ends, tabs and controls', 'a\r\nb\tc\0d', 'a b c d'],
    ['lone surrogates', 'a\ud800b', 'a b'],
  ])('%s', (_name, text, expected) => {
    expect(read(text)).toBe(expected)
  })

  test('a letter knows its run, its place, its word and its sentence', () => {
    const letters = lettersOf('Oooh. \u200bNo')
    expect(letters).toMatchObject([
      { code: 0x6f, run: 3, start: 0, end: 3, endsWord: false, word: 1, sentence: 0 },
      { code: 0x68, run: 1, start: 3, end: 4, endsWord: true, word: 1, sentence: 0 },
      { code: 0x6e, run: 1, start: 7, end: 8, endsWord: false, word: 2, sentence: 1 },
      { code: 0x6f, run: 1, start: 8, end: 9, endsWord: true, word: 2, sentence: 1 },
    ])
  })
})

describe('the offsets of any text', () => {
  const texts = fc.string({ unit: 'binary', maxLength: 200 })

  test('lie inside it and never go back', () => {
    fc.assert(
      fc.property(texts, (text) => {
        let previous = 0
        for (const { start, end } of lettersOf(text)) {
          expect(start).toBeGreaterThanOrEqual(previous)
          expect(end).toBeGreaterThan(start)
          expect(end).toBeLessThanOrEqual(text.length)
          previous = start
        }
      }),
      { numRuns: 300 },
    )
  })

  test('point at the character that a letter was made of', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'B', 'ｃ', '𝐝', 'é', '\u200b', '\u0301', ' '), { maxLength: 60 }), (characters) => {
        const text = characters.join('')
        for (const { code, start } of lettersOf(text)) {
          const original = String.fromCodePoint(text.codePointAt(start) ?? 0)
          expect(original.normalize('NFKD').toLowerCase().startsWith(String.fromCodePoint(code))).toBe(true)
        }
      }),
    )
  })

  test('do not change when a text is already plain: every letter is found once', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9 ,]{0,80}$/), (text) => {
        const letters = lettersOf(text)
        expect(letters.reduce((sum, { run }) => sum + run, 0)).toBe(text.replaceAll(/[ ,]/g, '').length)
      }),
    )
  })
})
