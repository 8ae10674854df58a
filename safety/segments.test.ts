import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSegmenter } from './segments.ts'

const caps = [48, 96, 160]

function segmentsOf(text: string): string[] {
  const segmenter = createSegmenter(caps)
  const cuts = [0]
  let position = 0
  for (const character of text) {
    const cut = segmenter.push(character.codePointAt(0) ?? 0, position, position + character.length)
    expect(cut ?? position).toBeLessThanOrEqual(position)
    if (cut !== null) cuts.push(cut)
    position += character.length
  }
  return [...cuts, text.length].slice(1).map((cut, index) => text.slice(cuts[index], cut))
}

test.each([
  ['after sentences, with their closing quotes and white space', 'Hi there. "Stop!"  Go?', ['Hi there. ', '"Stop!"  ', 'Go?']],
  ['after lines, a run of line ends staying together', 'one\n\n\ntwo\r\nthree', ['one\n\n\n', 'two\r\n', 'three']],
  ['not inside numbers and names', 'pi is 3.14 on node.js here', ['pi is 3.14 on node.js here']],
  ['after sentences in other scripts when white space follows', 'これは。 次', ['これは。 ', '次']],
])('text is cut %s', (_name, text, expected) => {
  expect(segmentsOf(text)).toEqual(expected)
})

test('a long text is cut at white space, in segments that may grow', () => {
  const lengths = segmentsOf('seven77 '.repeat(100)).map(({ length }) => length)
  expect(lengths.slice(0, 4)).toEqual([48, 96, 160, 160])
})

test('no segment is longer than its cap and no surrogate pair is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('word ', 'x', '😀', '. ', '\n', ' ', 'longer-word'), { maxLength: 200 }), (parts) => {
      const segments = segmentsOf(parts.join(''))
      expect(segments.join('')).toBe(parts.join(''))
      for (const [index, segment] of segments.entries()) {
        expect(segment.length).toBeLessThanOrEqual((caps[index] ?? 160) + 1)
        expect(segment.isWellFormed()).toBe(true)
      }
    }),
  )
})
