/** Guesses how long a run still takes, from how long its steps took so far; it says nothing before the first one ended. */

export interface TimeLeft {
  /** Call it when a step begins. */
  next(): string
}

export function estimateTimeLeft(steps: number): TimeLeft {
  const started = performance.now()
  let done = 0
  return {
    next() {
      const minutes = ((performance.now() - started) / done) * (steps - done) / 60_000
      return done++ === 0 ? '' : `, about ${minutes < 1 ? 'a minute' : `${Math.ceil(minutes)} minutes`} left`
    },
  }
}
