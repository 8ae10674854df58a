import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { buildAutomaton } from './automaton.ts'

const symbols = 3
const word = fc.array(fc.integer({ min: 0, max: symbols - 1 }), { minLength: 1, maxLength: 5 })

const endsWith = (text: readonly number[], pattern: readonly number[]) => pattern.join() === text.slice(-pattern.length).join()

test('at every place it finds just the patterns that a plain search finds', () => {
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 12 }), fc.array(fc.integer({ min: 0, max: symbols - 1 }), { maxLength: 60 }), (patterns, text) => {
      const automaton = buildAutomaton(patterns, symbols, () => false)
      let state = 0
      for (const [index, symbol] of text.entries()) {
        state = automaton.next(state, symbol)
        const read = text.slice(0, index + 1)
        const expected = patterns.flatMap((pattern, number) => (pattern.length <= read.length && endsWith(read, pattern) ? [number] : []))
        expect([...automaton.matches(state)].toSorted((a, b) => a - b)).toEqual(expected)
      }
    }),
  )
})

test('its states name every unfinished pattern, and the marked ones among them', () => {
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 8 }), fc.array(fc.integer({ min: 0, max: symbols - 1 }), { maxLength: 40 }), (patterns, text) => {
      const isMarked = (pattern: number) => pattern % 2 === 0
      const automaton = buildAutomaton(patterns, symbols, isMarked)
      let state = 0
      for (const [index, symbol] of text.entries()) {
        state = automaton.next(state, symbol)
        const read = text.slice(0, index + 1)
        const prefixesOf = (candidates: readonly (readonly number[])[], proper: boolean) =>
          [1, 2, 3, 4, 5].filter((length) => length <= read.length && candidates.some((pattern) => pattern.length >= length + (proper ? 1 : 0) && endsWith(read, pattern.slice(0, length))))
        const depths: number[] = []
        const marked: number[] = []
        for (let unfinished = state; unfinished !== 0; unfinished = automaton.shorter(unfinished)) {
          depths.push(automaton.depth(unfinished))
          if (automaton.leadsToMarked(unfinished)) marked.push(automaton.depth(unfinished))
        }
        expect(depths.toReversed()).toEqual(prefixesOf(patterns, false))
        expect(marked.toReversed()).toEqual(prefixesOf(patterns.filter((_, number) => isMarked(number)), true))
      }
    }),
  )
})
