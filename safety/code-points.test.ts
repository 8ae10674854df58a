import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCodePointReader } from './code-points.ts'

function readAll(chunks: readonly string[]): { text: string; place: number }[] {
  const seen: { text: string; place: number }[] = []
  const reader = createCodePointReader((codePoint, start, end) => {
    const text = String.fromCodePoint(codePoint)
    expect(end - start).toBe(text.length)
    seen.push({ text, place: start })
    return true
  })
  for (const chunk of chunks) reader.push(chunk)
  reader.end()
  return seen
}

test('any text is read as the code points that a string iterator finds, however it is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0x61, 0xd83d, 0xde00, 0xdbff, 0xdc00, 0xe9), { maxLength: 30 }), (units) => {
      const text = String.fromCharCode(...units)
      let place = 0
      const expected = Array.from(text, (character) => {
        place += character.length
        return { text: character, place: place - character.length }
      })
      expect(readAll([text])).toEqual(expected)
      expect(readAll(text.split(''))).toEqual(expected)
    }),
  )
})

test('a reader that was told to stop reads no further', () => {
  const seen: number[] = []
  const reader = createCodePointReader((codePoint) => {
    seen.push(codePoint)
    return codePoint !== 0x62
  })
  reader.push('abcd')
  reader.push('e')
  reader.end()
  expect(seen).toEqual([0x61, 0x62])
})
