/**
 * What is measured of one contender, the same for both engines: tokens are counted where a user of the engine gets them,
 * so that sampling and the way to the caller are part of every figure. Prompts are random and new each time, so that no
 * engine can reuse what it computed before.
 */
import { uniformGenerator } from '../../gpu-worker/model/random-numbers.ts'
import type { Contender } from './contender.ts'

const shortPrompt = 8
/** Tokens of each sequence before the clock starts: by then all of them decode together. */
const warmUpTokens = 2

export type Measurement =
  /** Tokens per second of all sequences together, over `steps` steps of `batch` sequences. */
  | { readonly type: 'decode'; readonly batch: number; readonly steps: number }
  /** Prompt tokens per second until the first new token is there. */
  | { readonly type: 'prefill'; readonly tokens: number }
  /** A prompt of `tokens` arrives while `running` sequences decode. */
  | { readonly type: 'under-load'; readonly running: number; readonly tokens: number }

export interface Measured {
  /** Tokens per second; of `under-load` the milliseconds until the prompt's first new token. */
  readonly value: number
  /** Of `under-load`: the longest pause of a running sequence meanwhile, in milliseconds. */
  readonly longestGap: number | null
}

/** The seed decides the prompts. */
export async function measure(contender: Contender, measurement: Measurement, seed: number, vocabularySize: number): Promise<Measured> {
  const uniform = uniformGenerator(seed)
  const prompt = (length: number): number[] => Array.from({ length }, () => Math.floor(uniform() * vocabularySize))

  switch (measurement.type) {
    case 'decode': {
      const { batch, steps } = measurement
      let total = 0
      let from = { total: 0, time: 0 }
      let to = from
      await whileRunning(contender, Array.from({ length: batch }, () => prompt(shortPrompt)), {
        onToken: () => total++,
        // Both ends are at a token of the same sequence, so that parts of a step cancel out.
        onSlowest: (tokens, stop) => {
          if (tokens === warmUpTokens) from = { total, time: performance.now() }
          if (tokens !== warmUpTokens + steps) return
          to = { total, time: performance.now() }
          stop()
        },
      })
      return { value: ((to.total - from.total) * 1000) / (to.time - from.time), longestGap: null }
    }
    case 'prefill': {
      const started = performance.now()
      let first = 0
      await contender.generate(prompt(measurement.tokens), 1, () => (first = performance.now()), new AbortController().signal)
      return { value: (measurement.tokens * 1000) / (first - started), longestGap: null }
    }
    case 'under-load': {
      const { running, tokens } = measurement
      const long = prompt(tokens)
      let value = Number.NaN
      let longestGap = 0
      const lastTimes: (number | undefined)[] = []
      let watched = false
      let arrival: Promise<void> | undefined
      await whileRunning(contender, Array.from({ length: running }, () => prompt(shortPrompt)), {
        onToken: (sequence) => {
          const now = performance.now()
          if (watched) longestGap = Math.max(longestGap, now - (lastTimes[sequence] ?? now))
          lastTimes[sequence] = now
        },
        onSlowest: (count, stop) => {
          if (count !== warmUpTokens) return
          watched = true
          const started = performance.now()
          const onFirst = (): void => {
            value = performance.now() - started
            // The sequences go on for as long as their longest pause, so that one which the prompt made is seen whole.
            setTimeout(stop, longestGap)
          }
          arrival = contender.generate(long, 1, onFirst, new AbortController().signal)
          arrival.catch(stop)
        },
      })
      await arrival
      if (Number.isNaN(value)) throw new Error('A prompt under load got no answer.')
      return { value, longestGap }
    }
  }
}

interface Watchers {
  readonly onToken: (sequence: number) => void
  /** Called at each token of the sequence that joined last, with the number of its tokens. */
  readonly onSlowest: (tokens: number, stop: () => void) => void
}

/** Generates from all prompts at once until `stop` is called. Throws when a sequence fails or ends before. */
async function whileRunning(contender: Contender, prompts: readonly (readonly number[])[], { onToken, onSlowest }: Watchers): Promise<void> {
  const stopping = new AbortController()
  const counts = prompts.map(() => 0)
  let slowest: number | undefined
  const generations = prompts.map(async (prompt, sequence) => {
    await contender.generate(
      prompt,
      maximumTokens,
      () => {
        if (stopping.signal.aborted) return
        counts[sequence]!++
        onToken(sequence)
        if (slowest === undefined && counts.every((count) => count > 0)) {
          // The first token of the last one: whoever is behind now stays behind.
          slowest = sequence
        }
        if (sequence === slowest) onSlowest(counts[sequence]!, () => stopping.abort())
      },
      stopping.signal,
    )
    if (!stopping.signal.aborted) throw new Error('A sequence ended before the measurement.')
  })
  try {
    await Promise.all(generations)
  } finally {
    stopping.abort()
    await Promise.allSettled(generations)
  }
}

/** More than any measurement waits for. */
const maximumTokens = 400
