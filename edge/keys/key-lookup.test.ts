import { beforeEach, expect, test } from 'vitest'
import { createKeyLookup, keyCacheTtlMs } from './key-lookup.ts'
import type { KeyLookup } from './key-lookup.ts'
import type { ResearchKey } from './key-store.ts'
import { secretHash } from './secret-hash.ts'

const key: ResearchKey = {
  id: 'key_1',
  label: 'label',
  owner: 'owner',
  institution: 'institution',
  purpose: 'purpose',
  createdAt: new Date(0),
  expiresAt: null,
  revokedAt: null,
  acceptances: [],
}

let now: number
let reads: number
let stored: Map<string, ResearchKey>
let lookup: KeyLookup

beforeEach(async () => {
  now = 1_000
  reads = 0
  stored = new Map([[await secretHash('good'), key]])
  const findByHash = async (hash: string) => {
    reads += 1
    return stored.get(hash)
  }
  lookup = createKeyLookup({ findByHash }, () => now)
})

test('the database is asked once for known and unknown keys', async () => {
  for (let round = 0; round < 3; round++) {
    expect(await lookup.find('good')).toEqual(key)
    expect(await lookup.find('made up')).toBeUndefined()
  }
  expect(reads).toBe(2)
})

test('a revocation made elsewhere is seen after the time to live', async () => {
  await lookup.find('good')
  stored.set(await secretHash('good'), { ...key, revokedAt: new Date(1) })
  now += keyCacheTtlMs - 1
  expect((await lookup.find('good'))?.revokedAt).toBeNull()
  now += 1
  expect((await lookup.find('good'))?.revokedAt).not.toBeNull()
})

test('a revocation made here is seen at once, also by a request that comes during an older read', async () => {
  const { promise: slowAnswer, resolve } = Promise.withResolvers<ResearchKey | undefined>()
  const answers = [slowAnswer, Promise.resolve({ ...key, revokedAt: new Date(1) })]
  const slow = createKeyLookup({ findByHash: () => answers.shift() ?? Promise.resolve(undefined) }, () => now)
  const before = slow.find('good')
  while (answers.length > 1) await new Promise((next) => setTimeout(next))
  slow.clear()
  expect((await slow.find('good'))?.revokedAt).not.toBeNull()
  resolve(key)
  expect((await before)?.revokedAt).toBeNull()
  expect((await slow.find('good'))?.revokedAt).not.toBeNull()
})

test('a flood of made-up keys does not push a real one out', async () => {
  await lookup.find('good')
  for (let count = 0; count < 12_000; count++) await lookup.find(`made up ${count}`)
  reads = 0
  await lookup.find('good')
  expect(reads).toBe(0)
})

test('a failed read is not remembered', async () => {
  let broken = true
  const flaky = createKeyLookup({ findByHash: async () => (broken ? Promise.reject(new Error('away')) : key) }, () => now)
  await expect(flaky.find('good')).rejects.toThrow('away')
  broken = false
  expect(await flaky.find('good')).toEqual(key)
})
