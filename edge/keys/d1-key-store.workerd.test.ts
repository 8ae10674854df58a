import { applyD1Migrations } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { beforeAll, describe, expect, test } from 'vitest'
import { createD1KeyStore } from './d1-key-store.ts'
import type { NewLicenceAcceptance, NewResearchKey } from './key-store.ts'

const store = createD1KeyStore(env.DB)
const acceptance: NewLicenceAcceptance = { profile: 'mit', version: 'sha256:1', acceptedBy: 'Ada', purpose: 'bias', institution: 'EU' }

function newKey(hash: string, changes: Partial<NewResearchKey> = {}): NewResearchKey {
  return { hash, label: 'label', owner: 'owner', institution: 'institution', purpose: 'purpose', expiresAt: null, ...changes }
}

test('without its tables the store is unavailable, and says so without the values of the query', async () => {
  const failure = await store.findByHash('hash-of-a-secret').catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'database_unavailable', cause: { message: expect.stringMatching(/^D1_.*no such table/) } })
  expect(JSON.stringify([String(failure), String((failure as Error).cause)])).not.toContain('hash-of-a-secret')
})

describe('with its tables', () => {
  beforeAll(() => applyD1Migrations(env.DB, env.MIGRATIONS))

  test('a key is found by its hash, with times as they were given', async () => {
    const key = await store.create(newKey('a', { expiresAt: new Date(5_000) }), new Date(1_234))
    expect(key).toMatchObject({ id: expect.stringMatching(/^key_/), createdAt: new Date(1_234), expiresAt: new Date(5_000), revokedAt: null, acceptances: [] })
    expect(await store.findByHash('a')).toEqual(key)
    expect(await store.findByHash('b')).toBeUndefined()
    expect(JSON.stringify(key)).not.toContain('"hash"')
  })

  test('revoking twice keeps the first date', async () => {
    const { id } = await store.create(newKey('revoke'), new Date(0))
    await store.revoke(id, new Date(1))
    expect((await store.revoke(id, new Date(2)))?.revokedAt).toEqual(new Date(1))
    expect(await store.revoke('key_nobody', new Date(2))).toBeUndefined()
  })

  test('a licence version is accepted once, also by several at the same time', async () => {
    const { id } = await store.create(newKey('accept'), new Date(0))
    const results = await Promise.all([1, 2, 3].map((at) => store.accept(id, acceptance, new Date(at))))
    expect(results.filter((result) => result?.added)).toHaveLength(1)
    expect(new Set(results.map((result) => result?.acceptance.id)).size).toBe(1)
    await store.accept(id, { ...acceptance, version: 'sha256:2' }, new Date(4))
    expect((await store.findByHash('accept'))?.acceptances.map(({ version }) => version).toSorted()).toEqual(['sha256:1', 'sha256:2'])
    expect(await store.accept('key_nobody', acceptance, new Date(1))).toBeUndefined()
  })

  test('the list has the newest key first, each once', async () => {
    const older = await store.create(newKey('older'), new Date(100_000))
    const newer = await store.create(newKey('newer'), new Date(200_000))
    await store.accept(older.id, acceptance, new Date(1))
    await store.accept(older.id, { ...acceptance, version: 'sha256:2' }, new Date(1))
    expect((await store.list()).slice(0, 2).map(({ id, acceptances }) => [id, acceptances.length])).toEqual([
      [newer.id, 0],
      [older.id, 2],
    ])
  })
})
