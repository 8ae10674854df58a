/** A map of bounded size that drops the entry which was read or written longest ago. */

export interface LruMap<Value> {
  get(key: string): Value | undefined
  set(key: string, value: Value): void
  clear(): void
}

/** A JavaScript Map keeps insertion order: reading an entry re-inserts it, so the first one is always the oldest. */
export function createLruMap<Value extends object>(maximumEntries: number): LruMap<Value> {
  const entries = new Map<string, Value>()
  const put = (key: string, value: Value): void => {
    entries.delete(key)
    entries.set(key, value)
  }
  return {
    get(key) {
      const value = entries.get(key)
      if (value !== undefined) put(key, value)
      return value
    },
    set(key, value) {
      put(key, value)
      const [oldest] = entries.keys()
      if (entries.size > maximumEntries && oldest !== undefined) entries.delete(oldest)
    },
    clear: () => entries.clear(),
  }
}
