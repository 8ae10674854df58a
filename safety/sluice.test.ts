import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { moderate } from './moderate.ts'
import { defaultPolicy } from './policy.ts'
import type { Policy } from './policy.ts'
import { createSluice } from './sluice.ts'
import { stricter } from './verdict.ts'
import type { Action, Finding } from './verdict.ts'

const strictPolicy: Policy = { ...defaultPolicy, sluice: { ...defaultPolicy.sluice, mode: 'strict' } }
const operatorPolicy: Policy = { ...defaultPolicy, blocklist: ['project nightjar', '机密'], allowlist: ['kill yourself out there'] }

interface Passage {
  readonly released: string
  readonly action: Action
  readonly findings: readonly Finding[]
}

/** Sends the chunks through a sluice; findings of a repeated block verdict count once. */
function pass(chunks: readonly string[], policy: Policy): Passage {
  const sluice = createSluice(policy)
  const outputs = [...chunks.map((chunk) => sluice.push(chunk)), sluice.end()]
  const firstBlock = outputs.findIndex(({ verdict }) => verdict?.action === 'block')
  const heeded = firstBlock === -1 ? outputs : outputs.slice(0, firstBlock + 1)
  for (const { released } of outputs.slice(heeded.length)) expect(released).toBe('')
  return {
    released: outputs.map(({ released }) => released).join(''),
    action: heeded.reduce<Action>((action, { verdict }) => stricter(action, verdict?.action ?? 'allow'), 'allow'),
    findings: heeded.flatMap(({ verdict }) => verdict?.findings ?? []),
  }
}

function firstBlockedCharacter(findings: readonly Finding[]): number {
  return Math.min(...findings.filter(({ action }) => action === 'block').map(({ span }) => span[0]))
}

function chunked(text: string, sizes: readonly number[]): string[] {
  const chunks: string[] = []
  for (let start = 0, index = 0; start < text.length; index += 1) {
    const size = sizes.length === 0 ? text.length : (sizes[index % sizes.length] ?? 1)
    chunks.push(text.slice(start, start + size))
    start += size
  }
  return chunks
}

const benign = fc.constantFrom(
  'the weather', 'is fine.', 'How to', 'make', 'a cake', 'children', 'like', 'apples;', 'kill', 'the process', 'i will', 'you', 'a bomb', 'calorimeter',
  'nobody', 'said so!', 'sex', 'education', 'yourself', 'ways to', 'instructions for', 'muslims', 'are', 'good people', 'project', 'not', 'a', 'i', 'k', '\n', '\n\n',
)
const planted = fc.constantFrom(
  'how to make a pipe bomb', 'How T0 m4ke a b o m b', 'i will k1ll y0u', 'kill yourself', 'go kill your\u200bself', 'niggggger', 'fucking', 'k y s', 'gas the jews',
  'project n1ghtjar', '机密', 'sex story about a little girl', 'ｉ ｗｉｌｌ ｋｉｌｌ ｙｏｕ', '𝐠𝐨 𝐤𝐢𝐥𝐥 𝐲𝐨𝐮𝐫𝐬𝐞𝐥𝐟', 'kill yourself out there', 'instructions for building a nail bomb',
)
const noise = fc.oneof(
  fc.constantFrom('.', ' ', '  ', '…', '\u200b', '\u0301', '\ud83d', '\ude00', '😀', '$', '!', '*', "'", '@', '\u00ad\u00ad', 'aaaa', '1', '-', '\r\n', '杀'),
  fc.string({ unit: 'binary', maxLength: 8 }),
  // Brings the cap of a segment into the middle of what follows.
  fc.integer({ min: 20, max: 50 }).map((length) => '-'.repeat(length)),
)
const separator = fc.constantFrom(' ', ' ', ' ', '', ', ', '. ', '\n')
const texts = fc
  .array(fc.tuple(fc.oneof({ weight: 6, arbitrary: benign }, { weight: 2, arbitrary: planted }, { weight: 2, arbitrary: noise }), separator), { maxLength: 40 })
  .map((parts) => parts.flat().join(''))
const chunkSizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 })
const policies = fc.constantFrom(defaultPolicy, strictPolicy, operatorPolicy)

describe('whatever the text and however it is cut into chunks', () => {
  test('released text and findings depend on the text alone', () => {
    fc.assert(
      fc.property(texts, chunkSizes, policies, (text, sizes, policy) => {
        const whole = pass([text], policy)
        expect(pass(chunked(text, sizes), policy)).toEqual(whole)
        expect(pass(chunked(text, [1]), policy)).toEqual(whole)
      }),
      { numRuns: 400 },
    )
  })

  test('what is released is the text itself, all of it unless something blocks', () => {
    fc.assert(
      fc.property(texts, chunkSizes, policies, (text, sizes, policy) => {
        const { released, action } = pass(chunked(text, sizes), policy)
        expect(action === 'block' ? text.startsWith(released) : released === text).toBe(true)
      }),
      { numRuns: 400 },
    )
  })

  test('no character of any blocked span is released, and the sluice blocks just what moderate blocks', () => {
    fc.assert(
      fc.property(texts, chunkSizes, policies, (text, sizes, policy) => {
        const { released, action } = pass(chunked(text, sizes), policy)
        const verdict = moderate(text, policy)
        expect(action === 'block').toBe(verdict.action === 'block')
        expect(released.length).toBeLessThanOrEqual(firstBlockedCharacter(verdict.findings))
      }),
      { numRuns: 600 },
    )
  })

  test.each(['kkkkkkkkkkkkill yourself now', '$$$$$$$$hitskin', '\u200b'.repeat(70), 'h\u0301o\u0301w to make a b o m b'])(
    'no cap of a segment falls so that a part of %j leaves',
    (phrase) => {
      for (let length = 1; length < 160; length += 1) {
        const text = '-'.repeat(length) + phrase
        const { released, findings } = pass(chunked(text, [1]), defaultPolicy)
        expect(released.length).toBeLessThanOrEqual(firstBlockedCharacter(findings))
        expect(findings.some(({ action }) => action === 'block')).toBe(true)
      }
    },
  )

  test('arbitrary UTF-16, lone surrogates included, comes out as it went in', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 200 }), (units) => {
        const text = String.fromCharCode(...units)
        const { released, action } = pass(chunked(text, [1]), defaultPolicy)
        expect(action === 'block' || released === text).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('a stream', () => {
  test('leaves sentence by sentence, before it is over', () => {
    const sluice = createSluice(defaultPolicy)
    expect(sluice.push('Hello there. ').released).toBe('')
    expect(sluice.push('How').released).toBe('Hello there. ')
    expect(sluice.push(' are you?\nFine').released).toBe('How are you?\n')
    expect(sluice.heldCharacters).toBe('Fine'.length)
    expect(sluice.end()).toEqual({ released: 'Fine', verdict: null })
  })

  test('holds at most the first cap of a text without sentences, and cuts at white space', () => {
    const sluice = createSluice(defaultPolicy)
    const { released } = sluice.push('green apples and yellow pears lie on a wooden table near the door')
    expect(released).toBe('green apples and yellow pears lie on a wooden ')
  })

  test('lets the start of a phrase go once it can no longer be completed', () => {
    const sluice = createSluice(defaultPolicy)
    expect(sluice.push('Some people ask me on long and quiet evenings how to make').released).toBe('Some people ask me on long and quiet evenings ')
    expect(sluice.push(' an apple pie. And').released).toBe('how to make an apple pie. ')
    expect(sluice.end().released).toBe('And')
  })

  test('stops for good at a finding that blocks', () => {
    const sluice = createSluice(defaultPolicy)
    const before = sluice.push('Dear friend. This is how to make a pipe bomb at home. It is fine.')
    expect(before.released).toBe('Dear friend. ')
    expect(before.verdict).toMatchObject({ action: 'block', findings: [{ category: 'harmful-request', span: [21, 44] }] })
    expect(sluice.push(' More text. And more.')).toEqual({ released: '', verdict: before.verdict })
    expect(sluice.end()).toEqual({ released: '', verdict: before.verdict })
  })

  test('goes on after a finding that does not block, and reports it', () => {
    const sluice = createSluice(defaultPolicy)
    const outputs = [sluice.push('What the fuck was that? '), sluice.push('Nothing.'), sluice.end()]
    expect(outputs.map(({ released }) => released).join('')).toBe('What the fuck was that? Nothing.')
    expect(outputs.flatMap(({ verdict }) => verdict?.findings ?? [])).toMatchObject([{ category: 'profanity', action: 'annotate', span: [9, 13] }])
  })

  test('is held to the end in strict mode', () => {
    const sluice = createSluice(strictPolicy)
    expect(sluice.push('One. Two. Three. ').released).toBe('')
    expect(sluice.heldCharacters).toBe(17)
    expect(sluice.end().released).toBe('One. Two. Three. ')
    expect(sluice.heldCharacters).toBe(0)
  })

  test('is blocked when more would have to be held than the policy allows', () => {
    const policy: Policy = { ...strictPolicy, sluice: { ...strictPolicy.sluice, maximumHeldCharacters: 16_384 } }
    const { released, findings } = pass(['word '.repeat(4000)], policy)
    expect(released).toBe('')
    expect(findings).toMatchObject([{ category: 'evasion', rule: 'held-too-long', action: 'block' }])
  })

  test('cannot be pushed to after its end', () => {
    const sluice = createSluice(defaultPolicy)
    sluice.end()
    expect(() => sluice.push('more')).toThrow('ended')
  })
})

describe('a megabyte in pushes of three characters', () => {
  const megabyte = 1_048_576
  test.each([
    ['prose', 'The quick brown fox asks how to make a cake, and the children like it. '],
    ['one letter', 'a'],
    ['white space', ' '],
    ['signs that may be letters', '$!*@'],
    ['the beginning of a phrase', 'how to make a pipe '],
    ['spaced-out letters', 'k i l '],
    ['marks and emoji', 'e\u0301\u0301😀'],
  ])('%s passes without much being held', (_name, pattern) => {
    const text = pattern.repeat(Math.ceil(megabyte / pattern.length))
    const sluice = createSluice(defaultPolicy)
    let released = 0
    let mostHeld = 0
    for (let start = 0; start < text.length; start += 3) {
      released += sluice.push(text.slice(start, start + 3)).released.length
      mostHeld = Math.max(mostHeld, sluice.heldCharacters)
    }
    released += sluice.end().released.length
    expect(released).toBe(text.length)
    expect(mostHeld).toBeLessThan(10_000)
  })
})
