/** What every response has in common, and every way to be refused, against real D1 and a scripted bus. */
import { array, assert, asyncProperty, constantFrom, dictionary, jsonValue, letrec, oneof, record, string } from 'fast-check'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { apiError } from '../shared/errors.ts'
import { acceptedEvent, delta, doneEvent, usageEvent } from './test-support/scripted-token-bus.ts'
import { createTestGateway, newAcceptance, newKey, testModel } from './test-support/test-gateway.ts'
import type { TestGateway } from './test-support/test-gateway.ts'

let gateway: TestGateway

beforeAll(async () => {
  gateway = await createTestGateway()
})

beforeEach(() => {
  gateway.bus.break(undefined)
  gateway.bus.serve(testModel)
  gateway.bus.play([acceptedEvent, delta('ok'), usageEvent, doneEvent])
})

interface ErrorObject {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string }
}

const completion = { model: 'phi-test', prompt: 'Hello' }
const chat = { model: 'phi-test', messages: [{ role: 'user', content: 'Hello' }] }

async function keyWith(fields: object, options: { accept?: boolean } = {}): Promise<{ id: string; key: string }> {
  const created = await (await gateway.admin('POST', '/keys', { ...newKey, ...fields })).json<{ id: string; key: string }>()
  if (options.accept !== false) await gateway.admin('POST', `/keys/${created.id}/licence-acceptances`, newAcceptance)
  return created
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const json = { 'content-type': 'application/json' }

type Refusal = readonly [name: string, send: () => Promise<Response>, status: number, type: string, code: string, param: string | null]

const refusals: Refusal[] = [
  ['an unknown path', async () => gateway.app.request('/v2/nothing'), 404, 'invalid_request_error', 'not_found', null],
  ['a path below the API, without a key', async () => gateway.app.request('/v1/nothing'), 404, 'invalid_request_error', 'not_found', null],
  ['the wrong method', () => gateway.get('/v1/completions'), 405, 'invalid_request_error', 'method_not_allowed', null],
  ['the wrong method on a model', () => gateway.post('/v1/models/microsoft/phi-2', {}), 405, 'invalid_request_error', 'method_not_allowed', null],
  ['no key', async () => gateway.app.request('/v1/models'), 401, 'authentication_error', 'missing_api_key', null],
  ['another scheme', async () => gateway.app.request('/v1/models', { headers: { authorization: 'Basic abc' } }), 401, 'authentication_error', 'missing_api_key', null],
  ['a key of another kind', async () => gateway.app.request('/v1/models', bearer('sk-proj-abc')), 401, 'authentication_error', 'invalid_api_key', null],
  ['a mistyped key', async () => gateway.app.request('/v1/models', bearer(gateway.key.slice(0, -1) + (gateway.key.endsWith('a') ? 'b' : 'a'))), 401, 'authentication_error', 'invalid_api_key', null],
  ['another media type', () => gateway.post('/v1/completions', completion, { headers: { 'content-type': 'text/plain' } }), 415, 'invalid_request_error', 'unsupported_media_type', null],
  ['a compressed body', () => gateway.post('/v1/completions', completion, { headers: { 'content-encoding': 'gzip' } }), 415, 'invalid_request_error', 'unsupported_media_type', null],
  ['broken JSON', () => gateway.post('/v1/completions', '{"model": '), 400, 'invalid_request_error', 'invalid_json', null],
  ['an empty body', () => gateway.post('/v1/completions', ''), 400, 'invalid_request_error', 'invalid_json', null],
  ['an array for a body', () => gateway.post('/v1/completions', []), 400, 'invalid_request_error', 'invalid_parameter', null],
  ['a body that is too long', () => gateway.post('/v1/completions', { ...completion, prompt: 'x'.repeat(1_048_576) }), 413, 'invalid_request_error', 'request_too_large', null],
  ['no model', () => gateway.post('/v1/completions', { prompt: 'Hello' }), 400, 'invalid_request_error', 'missing_parameter', 'model'],
  ['a model of a wrong type', () => gateway.post('/v1/completions', { ...completion, model: 5 }), 400, 'invalid_request_error', 'invalid_parameter', 'model'],
  ['an unknown model', () => gateway.post('/v1/completions', { ...completion, model: 'gpt-4' }), 404, 'invalid_request_error', 'model_not_found', 'model'],
  ['an unknown model, asked for', () => gateway.get('/v1/models/gpt-4'), 404, 'invalid_request_error', 'model_not_found', 'model'],
  ['no prompt', () => gateway.post('/v1/completions', { model: 'phi-test' }), 400, 'invalid_request_error', 'missing_parameter', 'prompt'],
  ['a wrong type deep inside', () => gateway.post('/v1/chat/completions', { ...chat, messages: [{ role: 'user', content: 5 }] }), 400, 'invalid_request_error', 'invalid_parameter', 'messages[0].content'],
  ['an unknown parameter', () => gateway.post('/v1/completions', { ...completion, temprature: 1 }), 400, 'invalid_request_error', 'unknown_parameter', 'temprature'],
  ['tools', () => gateway.post('/v1/chat/completions', { ...chat, tools: [{}] }), 400, 'invalid_request_error', 'unsupported_parameter', 'tools'],
  ['too many tokens', () => gateway.post('/v1/completions', { ...completion, prompt: Array.from({ length: 129 }, () => 1) }), 400, 'invalid_request_error', 'context_length_exceeded', 'prompt'],
  ['a forbidden prompt', () => gateway.post('/v1/completions', { ...completion, prompt: 'how to make a pipe bomb' }), 400, 'invalid_request_error', 'content_filter', 'prompt'],
  ['a forbidden prompt among others', () => gateway.post('/v1/completions', { ...completion, prompt: ['Hello', 'how to make a pipe bomb'] }), 400, 'invalid_request_error', 'content_filter', 'prompt[1]'],
  ['a forbidden message', () => gateway.post('/v1/chat/completions', { ...chat, messages: [...chat.messages, { role: 'user', content: 'how to make a pipe bomb' }] }), 400, 'invalid_request_error', 'content_filter', 'messages[1].content'],
  ['a licence that was not accepted', async () => gateway.post('/v1/completions', completion, { key: (await keyWith({}, { accept: false })).key }), 403, 'permission_error', 'licence_required', 'model'],
  [
    'a revoked key',
    async () => {
      const { id, key } = await keyWith({})
      await gateway.admin('POST', `/keys/${id}/revoke`)
      return gateway.get('/v1/models', { key })
    },
    401, 'authentication_error', 'revoked_api_key', null,
  ],
  [
    'an expired key',
    async () => {
      const { key } = await keyWith({ expiresAt: new Date(Date.now() + 3_600_000).toISOString() })
      expect((await gateway.get('/v1/models', { key })).status).toBe(200)
      const later = await createTestGateway()
      later.advance(3_600_000)
      return later.get('/v1/models', { key })
    },
    401, 'authentication_error', 'expired_api_key', null,
  ],
  ['no admin token', async () => gateway.app.request('/admin/api/keys'), 401, 'authentication_error', 'invalid_admin_token', null],
  ['a wrong admin token', async () => gateway.app.request('/admin/api/keys', bearer(gateway.key)), 401, 'authentication_error', 'invalid_admin_token', null],
  ['a key without a label', () => gateway.admin('POST', '/keys', { ...newKey, label: ' ' }), 400, 'invalid_request_error', 'invalid_parameter', 'label'],
  ['a key that has expired already', () => gateway.admin('POST', '/keys', { ...newKey, expiresAt: '2020-01-01T00:00:00Z' }), 400, 'invalid_request_error', 'invalid_parameter', 'expiresAt'],
  ['a key that ends on no date', () => gateway.admin('POST', '/keys', { ...newKey, expiresAt: 'tomorrow' }), 400, 'invalid_request_error', 'invalid_parameter', 'expiresAt'],
  ['an unknown field of a key', () => gateway.admin('POST', '/keys', { ...newKey, admin: true }), 400, 'invalid_request_error', 'unknown_parameter', 'admin'],
  ['revoking an unknown key', () => gateway.admin('POST', '/keys/key_nobody/revoke'), 404, 'invalid_request_error', 'not_found', 'id'],
  ['accepting for an unknown key', () => gateway.admin('POST', '/keys/key_nobody/licence-acceptances', newAcceptance), 404, 'invalid_request_error', 'not_found', 'id'],
  ['accepting an unknown licence', () => gateway.admin('POST', '/keys/key_nobody/licence-acceptances', { ...newAcceptance, profile: 'beer' }), 400, 'invalid_request_error', 'invalid_parameter', 'profile'],
  [
    'a queue that is away',
    () => {
      gateway.bus.break(apiError('queue_unavailable', 'The queue does not answer.'))
      return gateway.post('/v1/completions', completion)
    },
    503, 'server_error', 'queue_unavailable', null,
  ],
  [
    'a fault of our own',
    () => {
      gateway.bus.break(new TypeError('private detail'))
      return gateway.post('/v1/completions', completion)
    },
    500, 'server_error', 'internal_error', null,
  ],
]

test.each(refusals)('%s is refused', async (_name, send, status, type, code, param) => {
  const response = await send()
  expect(response.status).toBe(status)
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('x-request-id')).toMatch(/^req_[0-9A-Za-z]{24}$/)
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  const body = await response.json<ErrorObject>()
  expect(body).toEqual({ error: { message: expect.any(String), type, param, code } })
  expect(body.error.message).not.toMatch(/pipe|bomb|private detail/)
})

test('a model that is gone with the last worker asks to try again', async () => {
  const empty = await createTestGateway()
  empty.bus.serve()
  const response = await empty.post('/v1/completions', completion)
  expect([response.status, (await response.json<ErrorObject>()).error.code]).toEqual([503, 'model_unavailable'])
})

test('a 405 names the methods, a 401 the scheme', async () => {
  expect((await gateway.get('/v1/chat/completions')).headers.get('allow')).toBe('POST')
  expect((await gateway.post('/v1/models', {})).headers.get('allow')).toBe('GET, HEAD')
  expect((await gateway.app.request('/v1/models')).headers.get('www-authenticate')).toMatch(/^Bearer/)
})

test('a licence refusal names the profile and the key to accept it for', async () => {
  const { id, key } = await keyWith({}, { accept: false })
  const { error } = await (await gateway.post('/v1/completions', completion, { key })).json<ErrorObject>()
  expect(error.message).toContain('"phigate-research"')
  expect(error.message).toContain(id)
})

test('what is refused never reaches the queue', async () => {
  const before = gateway.bus.jobs.length
  await gateway.post('/v1/completions', { ...completion, prompt: 'how to make a pipe bomb' })
  await gateway.post('/v1/completions', { ...completion, suffix: 'The end.' })
  await gateway.post('/v1/completions', { ...completion, prompt: ['Hello', 'how to make a pipe bomb'] })
  expect(gateway.bus.jobs).toHaveLength(before)
})

test('a body without a content type is read as JSON, also one sent in pieces', async () => {
  const encoder = new TextEncoder()
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const written = (async () => {
    await writer.write(encoder.encode('{"model":"phi-test",'))
    await writer.write(encoder.encode('"prompt":"Hello"}'))
    await writer.close()
  })()
  const response = await gateway.app.request('/v1/completions', { method: 'POST', body: readable, ...bearer(gateway.key) })
  await written
  expect(response.status).toBe(200)
})

test.each([
  ['a byte order mark', '\ufeff{"model":"phi-test","prompt":"Hello"}', 'application/json', 200],
  ['a charset', '{"model":"phi-test","prompt":"Hello"}', 'Application/JSON; charset=utf-8', 200],
  ['a type built on JSON', '{"model":"phi-test","prompt":"Hello"}', 'application/vnd.api+json', 200],
  ['bytes that are not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'application/json', 400],
])('a body with %s', async (_name, body, type, status) => {
  const headers = { 'content-type': type, ...bearer(gateway.key).headers }
  expect((await gateway.app.request('/v1/completions', { method: 'POST', body, headers })).status).toBe(status)
})

test('a body of unknown length is counted and cut off', async () => {
  let sent = 0
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 65_536
      controller.enqueue(new Uint8Array(65_536).fill(0x20))
    },
  })
  const response = await gateway.app.request('/v1/completions', { method: 'POST', body: endless, headers: { ...json, ...bearer(gateway.key).headers } })
  expect(response.status).toBe(413)
  expect(sent).toBeLessThan(3_000_000)
})

describe('request ids', () => {
  test.each(['trace-1', '0123abcd-ABCD_='])('%s is kept, and goes with the job', async (id) => {
    const response = await gateway.post('/v1/completions', completion, { headers: { 'x-request-id': id } })
    expect(response.headers.get('x-request-id')).toBe(id)
    expect(gateway.bus.jobs.at(-1)?.trace).toBe(id)
  })

  test.each(['with space', 'a'.repeat(129), '<script>', '{"a":1}'])('%j is replaced', async (id) => {
    const response = await gateway.app.request('/healthz', { headers: { 'x-request-id': id } })
    expect(response.headers.get('x-request-id')).toMatch(/^req_/)
  })
})

describe('health', () => {
  test('the process answers, whatever its surroundings do', async () => {
    gateway.bus.break(apiError('queue_unavailable', 'The queue does not answer.'))
    const response = await gateway.app.request('/healthz')
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }])
  })

  test('ready needs the queue and a model', async () => {
    const fresh = await createTestGateway()
    const readiness = async () => {
      const response = await fresh.app.request('/readyz')
      const body = await response.json<{ status?: string; error?: { code: string } }>()
      return [response.status, body.status ?? body.error?.code]
    }
    expect(await readiness()).toEqual([200, 'ready'])
    fresh.bus.serve()
    fresh.advance(1_000)
    expect(await readiness()).toEqual([503, 'model_unavailable'])
    fresh.bus.break(apiError('queue_unavailable', 'The queue does not answer.'))
    expect(await readiness()).toEqual([503, 'queue_unavailable'])
  })
})

describe('models and licences', () => {
  test('an id may hold a slash, plain or encoded', async () => {
    const both = await createTestGateway()
    both.bus.serve({ ...testModel, id: 'microsoft/phi-2', licence: 'mit', ownedBy: 'microsoft' }, testModel)
    const expected = { id: 'microsoft/phi-2', object: 'model', created: 1_700_000_000, owned_by: 'microsoft' }
    expect(await (await both.get('/v1/models/microsoft/phi-2')).json()).toEqual(expected)
    expect(await (await both.get('/v1/models/microsoft%2Fphi-2')).json()).toEqual(expected)
    const list = await (await both.get('/v1/models')).json<{ object: string; data: { id: string }[] }>()
    expect(list.object).toBe('list')
    expect(list.data.map(({ id }) => id)).toEqual(['microsoft/phi-2', 'phi-test'])
    expect(await (await both.get('/v1/licences')).json()).toEqual({
      object: 'list',
      data: [
        expect.objectContaining({ profile: 'mit', models: ['microsoft/phi-2'], accepted: false, accepted_at: null, text: expect.stringContaining('MIT') }),
        expect.objectContaining({ profile: 'phigate-research', models: ['phi-test'], accepted: true, accepted_at: expect.any(Number) }),
      ],
    })
    expect((await both.post('/v1/completions', { ...completion, model: 'microsoft/phi-2' })).status).toBe(403)
  })
})

describe('browsers', () => {
  test('no page of another origin may read an answer unless it is allowed to', async () => {
    const origin = { origin: 'https://lab.example' }
    expect((await gateway.app.request('/healthz', { headers: origin })).headers.has('access-control-allow-origin')).toBe(false)
    const open = await createTestGateway({ allowedOrigins: ['https://lab.example'] })
    const allowed = await open.app.request('/v1/models', { headers: origin })
    expect(allowed.status).toBe(401)
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://lab.example')
    expect(allowed.headers.get('access-control-expose-headers')).toBe('x-request-id')
    const other = await open.app.request('/v1/models', { headers: { origin: 'https://evil.example' } })
    expect(other.headers.has('access-control-allow-origin')).toBe(false)
    const preflight = await open.app.request('/v1/chat/completions', {
      method: 'OPTIONS',
      headers: { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,x-stainless-os' },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-headers')).toBe('authorization,x-stainless-os')
  })
})

describe('the log', () => {
  test('holds one line per request, and neither prompt nor output nor key', async () => {
    const quiet = await createTestGateway()
    quiet.bus.play([acceptedEvent, delta('SECRET OUTPUT'), usageEvent, doneEvent])
    await (await quiet.post('/v1/completions', { ...completion, prompt: 'SECRET PROMPT' }, { headers: { 'x-request-id': 'one' } })).text()
    await (await quiet.post('/v1/completions', { ...completion, prompt: 'SECRET PROMPT', stream: true })).text()
    await quiet.post('/v1/completions', '{"SECRET PROMPT')
    await quiet.app.request('/SECRET/PROMPT')
    quiet.bus.break(new Error('SECRET PROMPT'))
    await quiet.post('/v1/completions', { ...completion, prompt: 'SECRET PROMPT' })
    expect(quiet.log.map(({ route, status, code }) => [route, status, code])).toEqual([
      ['/v1/completions', 200, undefined],
      ['/v1/completions', 200, undefined],
      ['/v1/completions', 400, 'invalid_json'],
      [null, 404, 'not_found'],
      ['/v1/completions', 500, 'internal_error'],
    ])
    expect(quiet.log[0]).toEqual({
      level: 'info',
      event: 'request',
      requestId: 'one',
      method: 'POST',
      route: '/v1/completions',
      status: 200,
      ms: expect.any(Number),
      keyId: expect.stringMatching(/^key_/),
      model: 'phi-test',
    })
    expect(quiet.log[1]).toMatchObject({ stream: true })
    expect(quiet.log[4]?.fault?.at[0]).toMatch(/^at /)
    expect(JSON.stringify(quiet.log)).not.toMatch(/SECRET|pg-research/)
  })
})

test('no body, however odd, is answered with a 5xx', async () => {
  const { value } = letrec((tie) => ({
    value: oneof({ depthSize: 'small' }, jsonValue(), constantFrom(-1, 1.5, 1e300, '', '\ud800', 'phi-test', 'user', 'text'), array(tie('value'), { maxLength: 3 })),
  }))
  const names = ['prompt', 'messages', 'max_tokens', 'temperature', 'top_p', 'seed', 'stop', 'stream', 'stream_options', 'logprobs', 'top_logprobs', 'echo', 'n', 'logit_bias', '__proto__', 'constructor']
  const message = oneof(value, record({ role: constantFrom('user', 'system', 'tool'), content: value }))
  const fields = dictionary(constantFrom(...names), value, { maxKeys: 4 })
  const body = oneof(
    { weight: 1, arbitrary: value },
    { weight: 4, arbitrary: fields.map((more) => ({ model: 'phi-test', prompt: 'Hello', ...more })) },
    { weight: 4, arbitrary: record({ messages: array(message, { maxLength: 3 }), more: fields }).map(({ messages, more }) => ({ ...more, model: 'phi-test', messages })) },
  )
  const outcomes = new Set<string>()
  await assert(
    asyncProperty(constantFrom('/v1/completions', '/v1/chat/completions'), oneof({ weight: 1, arbitrary: string() }, { weight: 9, arbitrary: body }), async (path, sent) => {
      const response = await gateway.post(path, sent)
      const text = await response.text()
      const outcome = response.status === 200 ? 'answered' : (JSON.parse(text) as ErrorObject).error.code
      outcomes.add(outcome)
      expect([200, 400, 404]).toContain(response.status)
      expect(outcome).toMatch(/^[a-z_]+$/)
    }),
    { numRuns: 400 },
  )
  // Not all were refused for one and the same reason.
  expect([...outcomes]).toEqual(expect.arrayContaining(['answered', 'invalid_json', 'invalid_parameter', 'unknown_parameter']))
})
