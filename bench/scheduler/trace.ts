/**
 * A trace of requests that arrive at random, and three ways to feed it to one engine. The engine itself always batches
 * continuously; the other two ways hold requests back before it, as a server without that would: one request at a time,
 * or a batch of those that wait, with nothing new until all of it has ended. (A real static batch would go on computing
 * the sequences in it that have ended; here they cost nothing, which flatters it.)
 */
import type { Engine, SequenceRequest } from '../../gpu-worker/engine/engine.ts'

export interface Arrival {
  /** Milliseconds after the beginning of the trace. */
  readonly at: number
  readonly request: SequenceRequest
}

export interface TraceOptions {
  readonly requests: number
  /** Requests per second on average; arrivals are a Poisson process. */
  readonly rate: number
  /** Lengths are drawn evenly on a logarithmic scale, so that most are short and a few are long. */
  readonly promptTokens: readonly [number, number]
  readonly answerTokens: readonly [number, number]
  readonly vocabularySize: number
  readonly uniform: () => number
}

export function makeTrace({ requests, rate, promptTokens, answerTokens, vocabularySize, uniform }: TraceOptions): Arrival[] {
  const length = ([from, to]: readonly [number, number]): number => Math.round(from * (to / from) ** uniform())
  let at = 0
  return Array.from({ length: requests }, () => {
    at += (-1000 * Math.log(1 - uniform())) / rate
    const tokens = Array.from({ length: length(promptTokens) }, () => Math.floor(uniform() * vocabularySize))
    return { at, request: plainRequest(tokens, length(answerTokens)) }
  })
}

/** Greedy, without scores, and of exactly `maxTokens` tokens. */
export function plainRequest(tokens: readonly number[], maxTokens: number): SequenceRequest {
  return { tokens, maxTokens, sampling: { temperature: 0, topP: 1, seed: 0 }, endTokens: [], logprobs: null, scorePrompt: false }
}

/** Decides when a request that has arrived may start: resolves then, with what to call at its end. */
export type Gate = () => Promise<() => void>

export const gates: Record<'continuous' | 'one at a time' | 'static batches', (slots: number) => Gate> = {
  continuous: () => async () => () => undefined,
  'one at a time': () => batchGate(1),
  'static batches': (slots) => batchGate(slots),
}

function batchGate(size: number): Gate {
  const waiting: (() => void)[] = []
  let running = 0
  const startBatch = (): void => {
    const batch = waiting.splice(0, size)
    running = batch.length
    for (const start of batch) start()
  }
  return async () => {
    const started = new Promise<void>((resolve) => waiting.push(resolve))
    if (running === 0) startBatch()
    await started
    return () => {
      running--
      if (running === 0) startBatch()
    }
  }
}

export interface Measurement {
  /** Milliseconds from arrival to the first token, one per request. */
  readonly first: readonly number[]
  /** Milliseconds between tokens of one sequence, all sequences together. */
  readonly gaps: readonly number[]
  readonly tokens: number
  readonly milliseconds: number
}

export const nothing: Measurement = { first: [], gaps: [], tokens: 0, milliseconds: 0 }

export function together(a: Measurement, b: Measurement): Measurement {
  return {
    first: [...a.first, ...b.first],
    gaps: [...a.gaps, ...b.gaps],
    tokens: a.tokens + b.tokens,
    milliseconds: a.milliseconds + b.milliseconds,
  }
}

/** Plays the trace in real time; `isolation` keeps it from reusing the prompts of an earlier playing. */
export async function play(engine: Engine, trace: readonly Arrival[], gate: Gate, isolation: string): Promise<Measurement> {
  const first: number[] = []
  const gaps: number[] = []
  let tokens = 0
  const began = performance.now()
  await Promise.all(
    trace.map(async ({ at, request }) => {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, began + at - performance.now())))
      const arrived = performance.now()
      const end = await gate()
      let last: number | null = null
      for await (const steps of engine.generate({ ...request, isolation }, new AbortController().signal)) {
        const now = performance.now()
        for (const step of steps) {
          if (step.type !== 'token') continue
          if (last === null) first.push(now - arrived)
          else gaps.push(now - last)
          last = now
          tokens++
        }
      }
      end()
    }),
  )
  return { first, gaps, tokens, milliseconds: performance.now() - began }
}
