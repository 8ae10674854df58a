import { expect, test } from 'vitest'
import { lettersOf } from '../normalise.ts'
import { mitigations } from './entry.ts'
import { lexicon } from './lexicon.ts'
import { phrasesOf } from './notation.ts'

test('the notation stands for every combination of its alternatives', () => {
  expect(phrasesOf('\n a {b|c d|}{x|{y|z}}\n plain \n')).toEqual(['a bx', 'a by', 'a bz', 'a c dx', 'a c dy', 'a c dz', 'a x', 'a y', 'a z', 'plain'])
})

test.each(['a {b|c', 'a b} c', '{{a}', 'a | b'])('the notation refuses "%s"', (line) => {
  expect(() => phrasesOf(line)).toThrow('brace')
})

test('every part that an entry or a join names exists, and every part is used', () => {
  const pairs = [...lexicon.joins, ...lexicon.entries.filter((entry) => 'first' in entry)]
  const named = new Set(pairs.flatMap(({ first, second }) => [first, second]))
  const defined = new Set([...Object.keys(lexicon.parts), ...lexicon.joins.map(({ part }) => part)])
  expect([...named].filter((part) => !defined.has(part))).toEqual([])
  expect([...defined].filter((part) => !named.has(part) && !(part in mitigations))).toEqual([])
})

test('every phrase has letters, and no rule that decides is a single short word', () => {
  const tooShort = lexicon.entries.flatMap((entry) => {
    const phrases = 'phrases' in entry ? phrasesOf(entry.phrases) : []
    const fewest = entry.category !== 'profanity' && entry.score >= 0.8 ? 4 : 2
    return phrases.filter((phrase) => lettersOf(phrase).reduce((sum, { run }) => sum + run, 0) < fewest)
  })
  expect(tooShort).toEqual([])
})
