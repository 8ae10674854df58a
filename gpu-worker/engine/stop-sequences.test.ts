import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createStopMatcher } from './stop-sequences.ts'

function run(stops: readonly string[], pieces: readonly string[]) {
  const matcher = createStopMatcher(stops)
  let text = ''
  let stopped = false
  for (const piece of pieces) {
    const result = matcher.push(piece)
    text += result.text
    stopped = result.stopped
  }
  return { text: text + matcher.end(), stopped }
}

/** By definition: the first position at which a stop sequence is complete, and the longest that ends there. */
function expected(stops: readonly string[], text: string) {
  for (let end = 1; end <= text.length; end++) {
    const lengths = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => stop.length)
    if (lengths.length > 0) return { text: text.slice(0, end - Math.max(...lengths)), stopped: true }
  }
  return { text, stopped: false }
}

test('any stop sequences, any text, cut anywhere', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 })
  const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd'), maxLength: 6 }), { maxLength: 12 })
  fc.assert(
    fc.property(fc.array(word, { maxLength: 4 }), pieces, (stops, cut) => {
      const result = run(stops, cut)
      expect(result).toEqual(expected(stops, cut.join('')))
      for (const stop of stops) expect(result.text).not.toContain(stop)
    }),
    { numRuns: 5000 },
  )
})

test.each([
  ['across pieces', ['\n\nUser:'], ['Sure.\n', '\nUs', 'er: more'], 'Sure.'],
  ['one is the beginning of another', ['ab', 'abc'], ['x', 'a', 'b', 'c'], 'x'],
  ['one is the end of another', ['bc', 'abc'], ['xabc'], 'x'],
  ['one lies inside another', ['b', 'abc'], ['xabc'], 'xa'],
  ['a beginning that repeats', ['aab'], ['aa', 'aa', 'b'], 'aa'],
  ['at the very start', ['x'], ['xyz'], ''],
] as const)('%s', (_what, stops, pieces, text) => {
  expect(run(stops, pieces)).toEqual({ text, stopped: true })
})

test('holds back only what may be the beginning of a stop sequence', () => {
  const matcher = createStopMatcher(['###', '\n\n'])
  expect(matcher.push('title #')).toEqual({ text: 'title ', stopped: false })
  expect(matcher.push('# one')).toEqual({ text: '## one', stopped: false })
  expect(matcher.push('\n')).toEqual({ text: '', stopped: false })
  expect(matcher.end()).toBe('\n')
})

test('nothing comes after the match', () => {
  const matcher = createStopMatcher(['.'])
  expect(matcher.push('a.b')).toEqual({ text: 'a', stopped: true })
  expect(matcher.push('c')).toEqual({ text: '', stopped: true })
  expect(matcher.end()).toBe('')
})

test('without stop sequences all text passes at once', () => {
  expect(createStopMatcher([]).push('text')).toEqual({ text: 'text', stopped: false })
})

test('half a character is no stop sequence', () => {
  expect(run(['\ude00', ''], ['a\u{1f600}b'])).toEqual({ text: 'a\u{1f600}b', stopped: false })
})
