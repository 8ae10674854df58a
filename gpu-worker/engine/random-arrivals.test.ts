import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SequenceRequest } from './engine.ts'
import { expectSame, greedy, openLoop, request } from './test-support/open-loop.ts'
import type { OpenLoop, Result } from './test-support/open-loop.ts'
import { graphKinds, makeRandomModel } from './test-support/random-model.ts'
import type { RandomModel } from './test-support/random-model.ts'

process.env.ORT_DISABLE_TELEMETRY = '1'

/** Prompts begin with a part of one of three headers, so that they share prefixes of all lengths, and evict them. */
const headers = [3, 5, 11].map((step) => Array.from({ length: 100 }, (_, index) => (index * step) % 250))

const arrival = fc.record({
  header: fc.nat(2),
  shared: fc.nat(100),
  own: fc.array(fc.nat(249), { minLength: 1, maxLength: 30 }),
  maxTokens: fc.integer({ min: 1, max: 20 }),
  sampling: fc.oneof(
    fc.constant(greedy),
    fc.record({ temperature: fc.constantFrom(0.7, 1), topP: fc.constantFrom(0.9, 1), seed: fc.maxSafeNat() }),
  ),
  scorePrompt: fc.boolean(),
  isolation: fc.constantFrom(undefined, 'a', 'b'),
  turnsBefore: fc.nat(3),
  /** Turns after which it is cancelled, for some. */
  cancelAfter: fc.option(fc.nat(6), { freq: 4 }),
})

test.each(Object.keys(graphKinds))('each sequence yields what it yields alone, whatever comes and goes beside it (%s)', async (graph) => {
  const model: RandomModel = await makeRandomModel({ ...graphKinds[graph]!, contextLength: 160 })
  const alone: OpenLoop = await openLoop(model, { slots: 1, chunkTokens: 160 })
  let aloneId = 0
  async function expected(sequence: SequenceRequest): Promise<Result> {
    alone.loop.start(++aloneId, sequence)
    await alone.finish()
    return alone.resultOf(aloneId)
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { minLength: 4, maxLength: 14 }),
      fc.record({ slots: fc.integer({ min: 1, max: 5 }), chunkTokens: fc.integer({ min: 1, max: 80 }), blocks: fc.nat(8) }),
      async (arrivals, options) => {
        const { loop, turn, finish, resultOf, prefixes, close } = await openLoop(model, options)
        const requests = arrivals.map(({ header, shared, own, maxTokens, sampling, scorePrompt, isolation }) =>
          request({ tokens: [...headers[header]!.slice(0, shared), ...own], maxTokens, sampling, scorePrompt, ...(isolation !== undefined && { isolation }) }),
        )
        const cancels = new Map<number, number>()
        let turns = 0
        const nextTurn = async (): Promise<void> => {
          for (const [id, at] of cancels) if (at <= turns) loop.cancel(id)
          await turn()
          turns++
        }
        for (const [id, { turnsBefore, cancelAfter }] of arrivals.entries()) {
          loop.start(id, requests[id]!)
          if (cancelAfter !== null) cancels.set(id, turns + cancelAfter)
          for (let count = 0; count < turnsBefore; count++) await nextTurn()
        }
        while (!loop.idle) await nextTurn()
        await finish()
        expect(prefixes.size).toBeLessThanOrEqual(options.blocks)
        for (const [id, sequence] of requests.entries()) {
          const result = resultOf(id)
          const whole = await expected(sequence)
          const ended = result.steps.at(-1)?.type === 'end'
          expect(ended || cancels.has(id)).toBe(true)
          expectSame(result, ended ? whole : { ...whole, steps: whole.steps.slice(0, result.steps.length) })
        }
        await close()
      },
    ),
    { numRuns: 60 },
  )
  await alone.close()
  await model.remove()
})
