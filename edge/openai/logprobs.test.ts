import { expect, test } from 'vitest'
import type { ScoredToken, TokenLogprob } from '../../shared/stream-events.ts'
import { chatLogprobs, createCompletionLogprobs } from './logprobs.ts'

function token(bytes: string | number[], logprob: number | null, top: TokenLogprob[] = []): ScoredToken {
  const all = typeof bytes === 'string' ? [...new TextEncoder().encode(bytes)] : bytes
  return { token: new TextDecoder('utf-8', { fatal: false, ignoreBOM: true }).decode(Uint8Array.from(all)), bytes: all, logprob, top }
}

test('four parallel arrays, with offsets that go on from batch to batch', () => {
  const convert = createCompletionLogprobs()
  expect(convert([token('Hé', null), token(' 😀', -0.5, [token(' you', -0.25)])])).toEqual({
    tokens: ['Hé', ' 😀'],
    token_logprobs: [null, -0.5],
    top_logprobs: [null, { ' you': -0.25, ' 😀': -0.5 }],
    text_offset: [0, 2],
  })
  expect(convert([token('!', -1)]).text_offset).toEqual([4])
})

test('a character that several tokens share begins where its first byte does', () => {
  const convert = createCompletionLogprobs()
  const { tokens, text_offset: offsets } = convert([token('a', -1), token([0xf0, 0x9f], -1), token([0x98, 0x80], -1), token('b', -1)])
  expect(tokens).toEqual(['a', 'bytes:\\xf0\\x9f', 'bytes:\\x98\\x80', 'b'])
  expect(offsets).toEqual([0, 1, 1, 2])
})

test('a token that really is U+FFFD shows as itself, and one named __proto__ is kept', () => {
  const convert = createCompletionLogprobs()
  const { tokens, top_logprobs: top } = convert([token('\ufffd', -1), token('__proto__', -2)])
  expect(tokens).toEqual(['\ufffd', '__proto__'])
  expect(JSON.stringify(top[1])).toBe('{"__proto__":-2}')
})

test('chat lists each token with its bytes and its alternatives', () => {
  expect(chatLogprobs([token('é', -0.5, [token('e', -1)])])).toEqual([
    { token: 'é', logprob: -0.5, bytes: [0xc3, 0xa9], top_logprobs: [{ token: 'e', logprob: -1, bytes: [0x65] }] },
  ])
})
