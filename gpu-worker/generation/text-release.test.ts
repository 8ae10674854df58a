import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { moderate } from '../../safety/moderate.ts'
import { defaultPolicy } from '../../safety/policy.ts'
import type { ScoredToken, StreamEvent } from '../../shared/stream-events.ts'
import type { Tokenizer } from '../engine/tokenizer.ts'
import { createTextRelease } from './text-release.ts'

const policy = { ...defaultPolicy, blocklist: ['purple monkey'] }

/** Token n stands for the n-th piece; no pieces of a file are needed to know what bytes a token has. */
function tokenizerOf(pieces: readonly Uint8Array[]): Tokenizer {
  return {
    vocabularySize: pieces.length,
    encode: () => [],
    decode: (tokens) => Buffer.concat(tokens.map((token) => pieces[token]!)).toString(),
    tokenBytes: (token) => pieces[token]!,
    isSpecial: () => false,
  }
}

/** All events after each token, and at the end. */
function releaseAll(pieces: readonly Uint8Array[], stop: readonly string[], minTokens = 0): { moments: StreamEvent[][]; state: string } {
  const release = createTextRelease({ tokenizer: tokenizerOf(pieces), stop, minTokens, policy, scored: true })
  const moments: StreamEvent[][] = []
  const look = (): void => void moments.push([...(moments.at(-1) ?? []), ...release.take()])
  pieces.forEach((_, token) => {
    release.pushToken(token, { token, logprob: -1, top: [] })
    look()
  })
  release.end()
  look()
  return { moments, state: release.state }
}

const textIn = (events: readonly StreamEvent[]): string => events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
const scoresIn = (events: readonly StreamEvent[]): ScoredToken[] => events.flatMap((event) => (event.type === 'delta' ? (event.logprobs ?? []) : []))

/** A text cut into pieces at arbitrary bytes. */
const cutText = (text: fc.Arbitrary<string>): fc.Arbitrary<{ text: string; pieces: Uint8Array[] }> =>
  fc.tuple(text, fc.infiniteStream(fc.integer({ min: 1, max: 7 }))).map(([whole, lengths]) => {
    const bytes = Buffer.from(whole)
    const pieces: Uint8Array[] = []
    for (let start = 0; start < bytes.length; ) {
      const length = lengths.next().value
      pieces.push(bytes.subarray(start, start + length))
      start += length
    }
    return { text: whole, pieces }
  })
const words = fc.array(fc.constantFrom('so', ' it', ' goes.', '\n', ' Über', ' 🙂', ' …', ' \u{1F468}\u200D\u{1F469}', ' STOP', ' purple', ' monkey'), { maxLength: 60 }).map((parts) => parts.join(''))

/** Whether at some moment scores were there for text that was not. */
function scoresWereAhead(moments: readonly StreamEvent[][]): boolean {
  return moments.some((events) => {
    const scored = Buffer.from(scoresIn(events).flatMap(({ bytes }) => bytes))
    return !Buffer.from(textIn(events)).subarray(0, scored.length).equals(scored)
  })
}

/** What must be released of a text: all before a stop sequence, or at most what lies before the first blocked phrase. */
function expectedEnd(text: string): { readonly state: string; readonly text: string } {
  const stop = text.indexOf(' STOP')
  const wanted = stop === -1 ? text : text.slice(0, stop)
  const blocked = moderate(wanted, policy).findings.find(({ action }) => action === 'block')
  if (blocked !== undefined) return { state: 'blocked', text: wanted.slice(0, blocked.span[0]) }
  return { state: stop === -1 ? 'open' : 'stopped', text: wanted }
}

test('however a text is cut into tokens, the same leaves, and scores never go ahead of it', () => {
  const holds = ({ text, pieces }: { text: string; pieces: Uint8Array[] }): boolean => {
    const { moments, state } = releaseAll(pieces, [' STOP'])
    const expected = expectedEnd(text)
    const end = moments.at(-1) ?? []
    const released = textIn(end)
    const textHolds = state === 'blocked' ? expected.text.startsWith(released) : released === expected.text
    const allScored = state !== 'open' || scoresIn(end).length === pieces.length
    return state === expected.state && textHolds && allScored && !scoresWereAhead(moments)
  }
  expect(fc.check(fc.property(cutText(words), holds), { numRuns: 300 })).toMatchObject({ failed: false })
  expect(fc.check(fc.property(cutText(fc.string({ unit: 'grapheme', maxLength: 80 })), holds), { numRuns: 200 })).toMatchObject({ failed: false })
})

test('a stop sequence counts only where it lies behind the first tokens that there must be', () => {
  const pieces = ['a ST', 'OP b', ' c ST', 'OP d'].map((piece) => Buffer.from(piece))
  const textWith = (minTokens: number): string => textIn(releaseAll(pieces, ['STOP'], minTokens).moments.at(-1)!)
  expect([0, 1, 2, 3, 4].map(textWith)).toEqual(['a ', 'a STOP b c ', 'a STOP b c ', 'a STOP b c STOP d', 'a STOP b c STOP d'])
})

test('a character that is never completed shows as U+FFFD at the end, with its scores', () => {
  const { moments } = releaseAll([Buffer.from('a'), Uint8Array.of(0xe2), Uint8Array.of(0x80)], [])
  expect(textIn(moments.at(-1)!)).toBe('a\ufffd')
  expect(scoresIn(moments.at(-1)!).map(({ token, bytes }) => [token, bytes])).toEqual([
    ['a', [0x61]],
    ['\ufffd', [0xe2]],
    ['\ufffd', [0x80]],
  ])
})
