import { join } from 'node:path'
import * as fc from 'fast-check'
import * as gpt2 from 'gpt-tokenizer/encoding/r50k_base'
import ranks from 'gpt-tokenizer/bpeRanks/r50k_base'
import { describe, expect, test } from 'vitest'
import { byteLevelTokenizer, endOfText, spellBytes } from '../model/byte-level-tokenizer.ts'
import { createDetokenizer, createTokenizer, loadTokenizer } from './tokenizer.ts'

const utf8 = new TextEncoder()
const asBytes = (token: string | readonly number[]): Uint8Array => (typeof token === 'string' ? utf8.encode(token) : Uint8Array.from(token))

/**
 * GPT-2's tokenizer.json, made from ranks: a token's merge is the last one that builds it out of tokens of lower rank.
 * Phi's own adds runs of spaces and tabs behind `<|endoftext|>`.
 */
function phiTokenizerJson() {
  const spellings = ranks.map((token) => spellBytes(asBytes(token)))
  const rankOf = new Map(spellings.map((spelling, rank) => [spelling, rank]))
  const merges: string[][] = []
  for (const [rank, spelling] of spellings.entries()) {
    if (spelling.length === 1) continue
    let parts = [...spelling]
    while (parts.length > 2) {
      const pairRanks = parts.slice(1).map((right, index) => rankOf.get(parts[index]! + right) ?? Number.POSITIVE_INFINITY)
      const best = Math.min(...pairRanks)
      if (best >= rank) throw new Error(`The token of rank ${rank} can not be built.`)
      const at = pairRanks.indexOf(best)
      parts = [...parts.slice(0, at), parts[at]! + parts[at + 1]!, ...parts.slice(at + 2)]
    }
    merges.push(parts)
  }
  const plain = { single_word: false, lstrip: false, rstrip: false }
  const whitespace = [
    ...Array.from({ length: 30 }, (_, index) => ' '.repeat(31 - index)),
    ...Array.from({ length: 8 }, (_, index) => '\t'.repeat(9 - index)),
  ]
  const json = byteLevelTokenizer().json
  return {
    ...json,
    added_tokens: [
      { ...plain, id: 50256, content: endOfText, normalized: false, special: true },
      ...whitespace.map((content, index) => ({ ...plain, id: 50257 + index, content, normalized: true, special: false })),
    ],
    model: { ...(json.model as object), vocab: { ...Object.fromEntries(rankOf), [endOfText]: 50256 }, merges },
  }
}

const phi = createTokenizer(phiTokenizerJson())
const gpt2Json = phiTokenizerJson()
const plainGpt2 = createTokenizer({ ...gpt2Json, added_tokens: gpt2Json.added_tokens.slice(0, 1) })

const code = fc
  .array(
    fc.constantFrom(
      'def ', 'return', '    ', '\t', '\n', '\r\n', 'self.', '(', ')', ':', '=', ' == ', "'s", "'ll", '"', '#', ' # ', 'naïve', '2048', '0x1F', '_', 'λ', '日本', '😀', '…', ' ',
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(''))
const anyText = fc.oneof(code, fc.string({ unit: 'grapheme', maxLength: 60 }), fc.string({ unit: 'binary', maxLength: 60 }), fc.string({ maxLength: 60 }))

describe('the same tokens as a second implementation', () => {
  test('for any text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(plainGpt2.encode(text)).toEqual(gpt2.encode(text, { disallowedSpecial: new Set() }))
      }),
      { numRuns: 2000 },
    )
  })

  test('for a whole page of code, and it decodes to itself', () => {
    const page = `${createTokenizer.toString()}\n\n/* ${'Ωμέγα 🧪 '.repeat(30)} */\n`.repeat(3)
    const tokens = plainGpt2.encode(page)
    expect(tokens).toEqual(gpt2.encode(page))
    expect(plainGpt2.decode(tokens)).toBe(page)
  })

  test('decoding any tokens', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50_255), { maxLength: 30 }), (tokens) => {
        const bytes = tokens.flatMap((token) => [...asBytes(ranks[token]!)])
        expect(plainGpt2.decode(tokens)).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes)))
      }),
      { numRuns: 1000 },
    )
  })
})

test("Phi's runs of spaces and tabs are single tokens", () => {
  expect(phi.encode('if x:\n        return')).toEqual([...gpt2.encode('if x:'), ...gpt2.encode('\n'), 50257 + 31 - 8, ...gpt2.encode('return')])
  expect(phi.encode('\t\t\t')).toEqual([50257 + 30 + 9 - 3])
  expect(phi.vocabularySize).toBe(50_295)
})

test('any text survives encoding and decoding', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(phi.decode(phi.encode(text))).toBe(text)
    }),
    { numRuns: 2000 },
  )
})

describe('special tokens', () => {
  const text = `Ignore this: ${endOfText}and go on`

  test('can not be typed', () => {
    const tokens = phi.encode(text)
    expect(tokens).not.toContain(50256)
    expect(tokens).toEqual(gpt2.encode(text, { disallowedSpecial: new Set() }))
    expect(phi.decode(tokens)).toBe(text)
  })

  test('stand for no text but have a name', () => {
    expect(phi.decode([...phi.encode('a'), 50256, ...phi.encode('b')])).toBe('ab')
    expect(new TextDecoder().decode(phi.tokenBytes(50256))).toBe(endOfText)
    expect(phi.isSpecial(50256)).toBe(true)
    expect(phi.isSpecial(50257)).toBe(false)
  })
})

test('a token id that is not in use stands for nothing', () => {
  expect(phi.tokenBytes(51_000)).toEqual(new Uint8Array(0))
  expect(phi.decode([51_000, ...phi.encode('x')])).toBe('x')
})

test('an empty text has no tokens', () => {
  expect(phi.encode('')).toEqual([])
  expect(phi.decode([])).toBe('')
})

test('a lone surrogate is encoded as the replacement character', () => {
  expect(phi.decode(phi.encode('a\ud83db'))).toBe('a\ufffdb')
})

describe('one token at a time', () => {
  test('gives the same text, never half a character', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(255), fc.nat(50_294), fc.constantFrom(...phi.encode('😀日本\u{feff}é'))), { maxLength: 40 }), (tokens) => {
        const detokenizer = createDetokenizer(phi)
        const pieces = [...tokens.map((token) => detokenizer.push(token)), detokenizer.end()]
        expect(pieces.join('')).toBe(phi.decode(tokens))
        expect(pieces.every((piece) => piece.isWellFormed())).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  test('a character appears with its last byte, an unfinished one at the end', () => {
    const tokens = plainGpt2.encode('🧪')
    expect(tokens.length).toBeGreaterThan(1)
    const detokenizer = createDetokenizer(plainGpt2)
    expect(tokens.map((token) => detokenizer.push(token))).toEqual([...tokens.slice(1).map(() => ''), '🧪'])
    detokenizer.push(tokens[0]!)
    expect(detokenizer.end()).toBe('\ufffd')
  })
})

test("the bundled model's tokenizer loads", async () => {
  const tokenizer = await loadTokenizer(join(import.meta.dirname, '..', 'model', 'bundled', 'phi-mini'))
  const text = 'What is a research licence? — Ω'
  expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
})

test('a folder without tokenizer.json is a clear error', async () => {
  await expect(loadTokenizer('/nowhere')).rejects.toMatchObject({ name: 'ModelError', failure: 'not-found' })
})

test('a tokenizer of another kind is refused', () => {
  expect(() => createTokenizer({ model: { type: 'Unigram', vocab: {} }, decoder: { type: 'ByteLevel' } })).toThrow('BPE')
  expect(() => createTokenizer({ model: { type: 'BPE', vocab: { '▁the': 0 }, merges: [] }, decoder: { type: 'ByteLevel' } })).toThrow('does not spell bytes')
})
