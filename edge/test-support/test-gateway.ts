/** The app as tests run it: over a scripted bus and real D1, with a key whose licence is accepted. */
import type { Hono } from 'hono'
import { applyD1Migrations } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { defaultPolicy } from '../../safety/policy.ts'
import { createGrantSigner } from '../../shared/grant.ts'
import type { GrantKey } from '../../shared/grant.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { createApp } from '../app.ts'
import type { Dependencies } from '../app.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { createD1KeyStore } from '../keys/d1-key-store.ts'
import type { RequestLine } from '../middleware/request-log.ts'
import { createScriptedTokenBus } from './scripted-token-bus.ts'
import type { ScriptedTokenBus } from './scripted-token-bus.ts'

export const adminToken = 'an-admin-token-for-tests'

export const testModel: ModelRegistration = {
  id: 'phi-test',
  weightsDigest: `sha256:${'ab'.repeat(32)}`,
  precision: 'fp32',
  contextLength: 128,
  vocabularySize: 1_000,
  licence: 'phigate-research',
  created: 1_700_000_000,
  ownedBy: 'phigate',
  startedAt: 1_700_000_000_000,
}

export interface TestGateway {
  readonly app: Hono<GatewayContext>
  readonly bus: ScriptedTokenBus
  readonly log: readonly RequestLine[]
  /** The text of a key whose licence for `testModel` is accepted. */
  readonly key: string
  /** Public part of the key that signs grants. */
  readonly grantKey: GrantKey
  /** Moves the app's clock. */
  advance(milliseconds: number): void
  post(path: string, body: unknown, options?: { key?: string; headers?: Record<string, string>; signal?: AbortSignal }): Promise<Response>
  get(path: string, options?: { key?: string }): Promise<Response>
  admin(method: string, path: string, body?: unknown): Promise<Response>
}

/** An app over a bus that serves nothing, with the real D1; `changes` take the place of parts of it. */
export function createTestApp(changes: Partial<Dependencies>): Hono<GatewayContext> {
  return createApp({
    bus: createScriptedTokenBus(),
    keyStore: createD1KeyStore(env.DB),
    signGrant: () => Promise.reject(new Error('This app signs no grants.')),
    policy: defaultPolicy,
    adminToken,
    allowedOrigins: [],
    timing: { jobDeadlineMs: 60_000, commitAfterMs: 10_000, keepAliveMs: 10_000 },
    now: Date.now,
    writeLog: () => {},
    ...changes,
  })
}

export async function createTestGateway(changes: Partial<Dependencies> = {}): Promise<TestGateway> {
  await applyD1Migrations(env.DB, env.MIGRATIONS)
  const bus = createScriptedTokenBus()
  bus.serve(testModel)
  const log: RequestLine[] = []
  let skipped = 0
  const privateKey = await createPrivateKey()
  const app = createTestApp({
    bus,
    signGrant: await createGrantSigner(privateKey),
    now: () => Date.now() + skipped,
    writeLog: (line) => log.push(line),
    ...changes,
  })

  const call = async (method: string, path: string, token: string, init: RequestInit = {}): Promise<Response> =>
    app.request(path, { ...init, method, headers: { authorization: `Bearer ${token}`, ...init.headers } })
  const admin: TestGateway['admin'] = (method, path, body) =>
    call(method, `/admin/api${path}`, adminToken, body === undefined ? {} : jsonInit(body))

  const created = await (await admin('POST', '/keys', newKey)).json<{ id: string; key: string }>()
  await admin('POST', `/keys/${created.id}/licence-acceptances`, newAcceptance)
  log.length = 0
  const { d: _, ...grantKey } = privateKey

  return {
    app,
    bus,
    log,
    key: created.key,
    grantKey,
    advance: (milliseconds) => {
      skipped += milliseconds
    },
    post: (path, body, { key = created.key, headers, signal } = {}) =>
      call('POST', path, key, { ...jsonInit(body, headers), ...(signal && { signal }) }),
    get: (path, { key = created.key } = {}) => call('GET', path, key),
    admin,
  }
}

export const newKey = { label: 'thesis', owner: 'ada@example.org', institution: 'Example University', purpose: 'bias in dialogue' }
export const newAcceptance = { profile: 'phigate-research', acceptedBy: 'Ada Example', purpose: 'bias in dialogue', institution: 'Example University' }

function jsonInit(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return { body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } }
}

async function createPrivateKey(): Promise<GrantKey> {
  const pair = (await crypto.subtle.generateKey({ name: 'Ed25519' }, true, ['sign', 'verify'])) as CryptoKeyPair
  const { x, d } = (await crypto.subtle.exportKey('jwk', pair.privateKey)) as JsonWebKey
  return { kty: 'OKP', crv: 'Ed25519', kid: 'test', x: x ?? '', d: d ?? '' }
}
