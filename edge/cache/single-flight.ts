/**
 * Lets callers that ask for the same thing at the same time share one load. In a Worker the load belongs to the request
 * that started it and dies with it, without ever settling, when that client goes away; so the others wait for it only
 * for as long as their patience lasts, and then load for themselves.
 */

export interface SingleFlight<Value> {
  run(key: string, load: () => Promise<Value>): Promise<Value>
  /** Callers from now on join no load that began before. */
  forget(): void
}

export function createSingleFlight<Value>(patienceMs: number): SingleFlight<Value> {
  const flights = new Map<string, Promise<Value>>()
  return {
    async run(key, load) {
      const joined = flights.get(key)
      if (joined !== undefined) {
        const landed = await settledWithin(joined, patienceMs)
        if (landed !== undefined) return landed.value
      }
      const flight = load()
      flights.set(key, flight)
      try {
        return await flight
      } finally {
        if (flights.get(key) === flight) flights.delete(key)
      }
    },
    forget: () => flights.clear(),
  }
}

async function settledWithin<Value>(promise: Promise<Value>, milliseconds: number): Promise<{ value: Value } | undefined> {
  const { promise: outOfPatience, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), milliseconds)
  try {
    return await Promise.race([promise.then((value) => ({ value })), outOfPatience])
  } finally {
    clearTimeout(timer)
  }
}
