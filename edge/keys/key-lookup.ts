/**
 * Finds the research key that a request shows. Answers live in the isolate's memory for ten seconds, so that the
 * database is off the hot path and a revocation made anywhere is seen within that time. Unknown keys are remembered
 * too, in a map of their own: a flood of made-up keys can neither reach the database each time nor push real keys out.
 */
import { createLruMap } from '../cache/lru-map.ts'
import { createSingleFlight } from '../cache/single-flight.ts'
import type { KeyStore, ResearchKey } from './key-store.ts'
import { secretHash } from './secret-hash.ts'

export const keyCacheTtlMs = 10_000
const maximumKnownKeys = 10_000
const maximumUnknownKeys = 2_000
const patienceMs = 1_000

interface Answer {
  readonly key: ResearchKey | undefined
  readonly readAt: number
}

export interface KeyLookup {
  /** The key with this text, revoked and expired ones included; undefined when there is none. */
  find(keyText: string): Promise<ResearchKey | undefined>
  /** Forgets all answers, so that a change made through this isolate is seen by its next request. */
  clear(): void
}

export function createKeyLookup(store: Pick<KeyStore, 'findByHash'>, now: () => number): KeyLookup {
  const known = createLruMap<Answer>(maximumKnownKeys)
  const unknown = createLruMap<Answer>(maximumUnknownKeys)
  const flights = createSingleFlight<ResearchKey | undefined>(patienceMs)
  let epoch = 0

  return {
    async find(keyText) {
      const hash = await secretHash(keyText)
      const answer = known.get(hash) ?? unknown.get(hash)
      if (answer !== undefined && now() - answer.readAt < keyCacheTtlMs) return answer.key
      return flights.run(hash, async () => {
        const readAt = now()
        const epochAtRead = epoch
        const key = await store.findByHash(hash)
        if (epoch === epochAtRead) (key === undefined ? unknown : known).set(hash, { key, readAt })
        return key
      })
    },
    clear() {
      epoch += 1
      known.clear()
      unknown.clear()
      flights.forget()
    },
  }
}
