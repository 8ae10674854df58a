/** The Worker's own entry, over the real hub, Redis and D1. */
import { applyD1Migrations } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { MockInstance } from 'vitest'
import type { Bindings } from './environment.ts'
import worker from './index.ts'

const { privateKey } = await crypto.subtle.generateKey({ name: 'Ed25519' }, true, ['sign', 'verify']) as CryptoKeyPair
const { x, d } = await crypto.subtle.exportKey('jwk', privateKey) as JsonWebKey
const grantKey = { kty: 'OKP', crv: 'Ed25519', kid: 'test', x, d }
const configured = { ...env, GRANT_PRIVATE_KEY: JSON.stringify(grantKey) }
const secret = 'not-to-be-shown'

let write: MockInstance<typeof console.log>

beforeAll(() => applyD1Migrations(env.DB, env.MIGRATIONS))
beforeEach(() => {
  write = vi.spyOn(console, 'log').mockImplementation(() => {})
})
afterEach(() => write.mockRestore())

const fetchWith = async (bindings: object, path: string, init?: RequestInit): Promise<Response> =>
  worker.fetch(new Request(`https://gateway.example${path}`, init), bindings as Bindings)

test('a configured gateway answers, makes keys, and speaks to Redis', async () => {
  expect((await fetchWith(configured, '/healthz')).status).toBe(200)
  const admin = { authorization: `Bearer ${configured.ADMIN_TOKEN}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ label: 'l', owner: 'o', institution: 'i', purpose: 'p' })
  const created = await fetchWith(configured, '/admin/api/keys', { method: 'POST', headers: admin, body })
  expect(created.status).toBe(201)
  const { key } = await created.json<{ key: string }>()
  const models = await fetchWith(configured, '/v1/models', { headers: { authorization: `Bearer ${key}` } })
  expect(models.status).toBe(200)
})

test.each([
  ['a missing secret', { ...configured, GRANT_PRIVATE_KEY: undefined }, 'GRANT_PRIVATE_KEY'],
  ['a malformed secret', { ...configured, GRANT_PRIVATE_KEY: secret }, 'GRANT_PRIVATE_KEY'],
  ['a malformed address', { ...configured, REDIS_URL: `http://${secret}` }, 'REDIS_URL'],
])('%s: every request is refused, the log says why once, nobody sees the value', async (_name, bindings, binding) => {
  for (const path of ['/healthz', '/v1/completions']) {
    const response = await fetchWith(bindings, path)
    expect(response.status).toBe(500)
    expect(response.headers.get('x-request-id')).toMatch(/^req_/)
    const text = await response.text()
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'gateway_misconfigured', type: 'server_error' } })
    expect(text).not.toContain(secret)
  }
  const lines = write.mock.calls.map(([line]) => JSON.parse(String(line)) as { event: string; message?: string })
  expect(lines.filter(({ event }) => event === 'misconfigured').map(({ message }) => message)).toEqual([expect.stringContaining(binding)])
  expect(JSON.stringify(lines)).not.toContain(secret)
})
