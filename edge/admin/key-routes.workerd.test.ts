import { beforeAll, expect, test } from 'vitest'
import { inspectResearchKey } from '../keys/key-format.ts'
import { adminToken, createTestApp, createTestGateway, newAcceptance, newKey } from '../test-support/test-gateway.ts'
import type { TestGateway } from '../test-support/test-gateway.ts'

let gateway: TestGateway

beforeAll(async () => {
  gateway = await createTestGateway()
})

interface KeyObject {
  readonly id: string
  readonly key?: string
  readonly revokedAt: string | null
  readonly licenceAcceptances: readonly object[]
}

const create = async (): Promise<KeyObject & { key: string }> => (await gateway.admin('POST', '/keys', newKey)).json()

test('a key is shown once, when it is made, and works at once', async () => {
  const response = await gateway.admin('POST', '/keys', { ...newKey, expiresAt: '2099-01-01T00:00:00+01:00' })
  expect(response.status).toBe(201)
  expect(response.headers.get('cache-control')).toBe('no-store')
  const key = await response.json<KeyObject>()
  expect(key).toEqual({
    ...newKey,
    id: expect.stringMatching(/^key_/),
    key: expect.any(String),
    createdAt: expect.stringMatching(/Z$/),
    expiresAt: '2098-12-31T23:00:00.000Z',
    revokedAt: null,
    licenceAcceptances: [],
  })
  expect(inspectResearchKey(key.key ?? '')).toBe('well-formed')
  expect((await gateway.get('/v1/models', { key: key.key ?? '' })).status).toBe(200)
  const list = await (await gateway.admin('GET', '/keys')).text()
  expect(list).toContain(key.id)
  expect(list).not.toContain(key.key)
  expect(list).not.toContain('"hash"')
})

test('a revoked key stops working with the next request, and revoking again changes nothing', async () => {
  const { id, key } = await create()
  expect((await gateway.get('/v1/models', { key })).status).toBe(200)
  const first = await (await gateway.admin('POST', `/keys/${id}/revoke`)).json<KeyObject>()
  expect((await gateway.get('/v1/models', { key })).status).toBe(401)
  gateway.advance(1_000)
  const second = await gateway.admin('POST', `/keys/${id}/revoke`)
  expect(second.status).toBe(200)
  expect(await second.json()).toEqual(first)
  expect(first.revokedAt).toEqual(expect.any(String))
})

test('an acceptance opens the model with the next request, and is recorded once', async () => {
  const { id, key } = await create()
  const ask = () => gateway.get('/v1/licences', { key }).then((response) => response.json<{ data: { accepted: boolean }[] }>())
  expect((await ask()).data[0]?.accepted).toBe(false)
  const first = await gateway.admin('POST', `/keys/${id}/licence-acceptances`, newAcceptance)
  expect(first.status).toBe(201)
  const recorded = await first.json()
  expect(recorded).toEqual({ ...newAcceptance, id: expect.stringMatching(/^acceptance_/), version: expect.stringMatching(/^sha256:/), acceptedAt: expect.any(String) })
  expect((await ask()).data[0]?.accepted).toBe(true)
  const second = await gateway.admin('POST', `/keys/${id}/licence-acceptances`, { ...newAcceptance, acceptedBy: 'Someone else' })
  expect([second.status, await second.json()]).toEqual([200, recorded])
})

test('without an admin token there is no admin API', async () => {
  const closed = createTestApp({ adminToken: undefined })
  const response = await closed.request('/admin/api/keys', { headers: { authorization: `Bearer ${adminToken}` } })
  expect(response.status).toBe(404)
})
