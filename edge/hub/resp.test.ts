import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { commandText, createRespDecoder, encodeText, replyValue } from './resp.ts'
import type { RespLimits, RespValue } from './resp.ts'

/** Writes a value as a server would. */
function wire(value: RespValue): string {
  if (value === null) return '$-1\r\n'
  if (typeof value === 'number') return `:${value}\r\n`
  if (typeof value === 'string') return `$${new TextEncoder().encode(value).length}\r\n${value}\r\n`
  if ('code' in value) return `-${value.message}\r\n`
  return `*${value.length}\r\n${value.map(wire).join('')}`
}

const { value: anyValue } = fc.letrec<{ value: RespValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.string({ unit: 'binary' }),
    fc.maxSafeInteger(),
    fc.constant(null),
    fc.constantFrom('WRONGTYPE Operation', 'ERR').map((message) => ({ code: message.split(' ', 1)[0] as string, message })),
    fc.array(tie('value'), { maxLength: 6 }),
  ),
}))

/** Feeds the chunks one by one and returns all values, and how it ended. */
function decodeAll(chunks: readonly Uint8Array[], limits?: RespLimits): { values: RespValue[]; end: string } {
  const decoder = createRespDecoder(limits)
  const values: RespValue[] = []
  for (const chunk of chunks) {
    decoder.push(chunk.slice())
    for (;;) {
      const decoded = decoder.next()
      if (decoded.type === 'incomplete') break
      if (decoded.type !== 'reply') return { values, end: decoded.type }
      values.push(replyValue(decoded.reply))
    }
  }
  return { values, end: 'incomplete' }
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b)
  return [0, ...sorted].map((from, i) => bytes.subarray(from, sorted[i] ?? bytes.length))
}

test('replies come out the same however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(anyValue, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(), { maxLength: 20 }), (values, places) => {
      const bytes = encodeText(values.map(wire).join(''))
      expect(decodeAll(cut(bytes, places))).toEqual({ values, end: 'incomplete' })
      expect(decodeAll(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual({ values, end: 'incomplete' })
    }),
    { numRuns: 300 },
  )
})

test('earlier replies stay intact while later bytes arrive', () => {
  const decoder = createRespDecoder()
  decoder.push(encodeText('$5\r\nfirst\r\n$6\r\nsec'))
  const first = decoder.next()
  decoder.push(encodeText('ond\r\n'))
  const second = decoder.next()
  expect([first, second].map((decoded) => decoded.type === 'reply' && replyValue(decoded.reply))).toEqual(['first', 'second'])
})

test('a command is an array of bulk strings with lengths in bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1 }), (args) => {
      expect(decodeAll([encodeText(commandText(args))])).toEqual({ values: [args], end: 'incomplete' })
    }),
  )
  expect(decodeAll([encodeText(commandText(['a', '\ud800é']))]).values).toEqual([['a', '\ufffdé']])
})

test.each([
  ['an unknown type', '!1\r\n'],
  ['a length that is no number', '$x\r\n'],
  ['an empty number', ':\r\n'],
  ['a negative length other than -1', '*-2\r\n'],
  ['a bulk string that runs on', '$1\r\nab\r\n'],
  ['a line that ends in LF alone', '+OK\n'],
  ['a line without an end', `+${'x'.repeat(70_000)}`],
])('%s is invalid', (_name, text) => {
  expect(decodeAll([encodeText(text)])).toEqual({ values: [], end: 'invalid' })
})

test.each([
  ['a bulk string by its header alone', '$101\r\n'],
  ['many small strings', `*20\r\n${'$4\r\nabcd\r\n'.repeat(20)}`],
  ['an array by its count', '*1000\r\n'],
  ['arrays in arrays', '*9\r\n'.repeat(12)],
])('%s over the limit is too large', (_name, text) => {
  const limits = { replyBytes: 100, replyNodes: 50 }
  expect(decodeAll([encodeText(text)], limits)).toEqual({ values: [], end: 'too-large' })
  expect(decodeAll(Array.from(encodeText(text), (byte) => Uint8Array.of(byte)), limits).end).toBe('too-large')
})

test('any bytes at all end in replies, a wait or an error, never in an exception', () => {
  const soup = fc.array(fc.constantFrom('*', '$', ':', '+', '-', '1', '2', '-1', '\r\n', '\n', 'a'), { maxLength: 40 })
  fc.assert(
    fc.property(soup, (pieces) => {
      expect(['incomplete', 'invalid', 'too-large']).toContain(decodeAll([encodeText(pieces.join(''))]).end)
    }),
    { numRuns: 500 },
  )
})
