/** What a client sees of an answer, streamed and whole, over a scripted bus: format, order, the one end, and leaving early. */
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { ApiError } from '../../shared/errors.ts'
import { createGrantVerifier } from '../../shared/grant.ts'
import { errorEvent } from '../../shared/stream-events.ts'
import type { StreamEvent } from '../../shared/stream-events.ts'
import { acceptedEvent, createScriptedTokenBus, delta, doneEvent, usageEvent } from '../test-support/scripted-token-bus.ts'
import { createTestGateway, testModel } from '../test-support/test-gateway.ts'
import type { ScriptStep } from '../test-support/scripted-token-bus.ts'
import type { TestGateway } from '../test-support/test-gateway.ts'

let gateway: TestGateway

beforeAll(async () => {
  gateway = await createTestGateway()
})

beforeEach(() => {
  gateway.bus.break(undefined)
  gateway.bus.play([acceptedEvent], [delta(' Hel'), delta('lo')], [delta('!'), usageEvent, doneEvent])
})

const completion = { model: 'phi-test', prompt: 'Say hello' }
const chat = { model: 'phi-test', messages: [{ role: 'user', content: 'Say hello' }] }
const fingerprint = `fp_${'ab'.repeat(6)}`
const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }

interface Chunk {
  readonly id: string
  readonly object: string
  readonly created: number
  readonly model: string
  readonly usage?: object | null
  readonly error?: { readonly code: string; readonly message: string }
  readonly choices: readonly {
    readonly index: number
    readonly text?: string
    readonly delta?: { readonly role?: string; readonly content?: string }
    readonly logprobs: { readonly tokens?: readonly string[]; readonly text_offset?: readonly number[]; readonly content?: readonly object[] } | null
    readonly finish_reason: string | null
  }[]
}

interface ReadStream {
  readonly chunks: readonly Chunk[]
  readonly done: boolean
  readonly comments: readonly string[]
  readonly ids: readonly string[]
}

/** Reads the whole body the strict way: nothing but whole messages, and nothing after the end. */
async function readStream(response: Response): Promise<ReadStream> {
  const messages = (await response.text()).split('\n\n')
  expect(messages.pop()).toBe('')
  const comments = messages.filter((message) => message.startsWith(': '))
  const fields = messages.filter((message) => !message.startsWith(': ')).map((message) => /^(?:id: (?<id>\S+)\n)?data: (?<data>.+)$/.exec(message)?.groups)
  const data = fields.map((message) => message?.data ?? '')
  const done = data.at(-1) === '[DONE]'
  return {
    chunks: (done ? data.slice(0, -1) : data).map((text) => JSON.parse(text) as Chunk),
    done,
    comments,
    ids: fields.flatMap((message) => (message?.id === undefined ? [] : [message.id])),
  }
}

function present<Value>(value: Value | null | undefined): Value {
  if (value === null || value === undefined) throw new Error('This should be there.')
  return value
}

async function errorCode(response: Response): Promise<[number, string]> {
  return [response.status, (await response.json<{ error: { code: string } }>()).error.code]
}

describe('completions', () => {
  test('whole', async () => {
    const response = await gateway.post('/v1/completions', completion)
    expect(response.status).toBe(200)
    const jobId = gateway.bus.jobs.at(-1)?.id
    expect(await response.json()).toEqual({
      id: jobId?.replace('job_', 'cmpl-'),
      object: 'text_completion',
      created: expect.any(Number),
      model: 'phi-test',
      system_fingerprint: fingerprint,
      choices: [{ index: 0, text: ' Hello!', logprobs: null, finish_reason: 'stop' }],
      usage,
    })
  })

  test('streamed', async () => {
    const response = await gateway.post('/v1/completions', { ...completion, stream: true })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-cache, no-transform')
    expect(response.headers.get('x-accel-buffering')).toBe('no')
    expect(response.headers.get('x-request-id')).toMatch(/^req_/)
    const { chunks, done, ids } = await readStream(response)
    expect(chunks.map(({ choices: [choice] }) => [choice?.text, choice?.finish_reason])).toEqual([
      [' Hel', null],
      ['lo', null],
      ['!', null],
      ['', 'stop'],
    ])
    expect(new Set(chunks.map(({ id, created, object, model }) => [id, created, object, model].join(' '))).size).toBe(1)
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true)
    expect(ids).toEqual(['2-0', '3-0', '4-0', '6-0'])
    expect(done).toBe(true)
  })

  test('entries that arrive together are written at once', async () => {
    const response = await gateway.post('/v1/completions', { ...completion, stream: true })
    const reader = present(response.body).getReader()
    const writes: string[] = []
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      writes.push(new TextDecoder().decode(value))
    }
    expect(writes.map((text) => text.split('\n\n').length - 1)).toEqual([2, 3])
  })

  test('logprobs are split over the chunks and keep their offsets', async () => {
    const scored = (token: string): StreamEvent => ({
      type: 'delta',
      text: token,
      logprobs: [{ token, bytes: [...new TextEncoder().encode(token)], logprob: -0.5, top: [{ token, bytes: [], logprob: -0.5 }] }],
    })
    gateway.bus.play([acceptedEvent, scored('One')], [scored(' two'), usageEvent, doneEvent])
    const { chunks } = await readStream(await gateway.post('/v1/completions', { ...completion, stream: true, logprobs: 1 }))
    expect(chunks.map(({ choices: [choice] }) => choice?.logprobs)).toEqual([
      { tokens: ['One'], token_logprobs: [-0.5], top_logprobs: [{ One: -0.5 }], text_offset: [0] },
      { tokens: [' two'], token_logprobs: [-0.5], top_logprobs: [{ ' two': -0.5 }], text_offset: [3] },
      null,
    ])
    const whole = await (await gateway.post('/v1/completions', { ...completion, logprobs: 1 })).json<Chunk>()
    expect(whole.choices[0]?.logprobs).toMatchObject({ tokens: ['One', ' two'], text_offset: [0, 3] })
    const spoken = await readStream(await gateway.post('/v1/chat/completions', { ...chat, stream: true, logprobs: true, top_logprobs: 1 }))
    expect(spoken.chunks.map(({ choices: [choice] }) => choice?.logprobs?.content?.length ?? 0)).toEqual([0, 1, 1, 0])
  })
})

describe('chat completions', () => {
  test('whole, without the space that Phi puts before an answer', async () => {
    const response = await gateway.post('/v1/chat/completions', chat)
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9A-Za-z]{24}$/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'phi-test',
      system_fingerprint: fingerprint,
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hello!', refusal: null }, logprobs: null, finish_reason: 'stop' }],
      usage,
    })
  })

  test('streamed: the role first, usage last, and then the end', async () => {
    const { chunks, done } = await readStream(await gateway.post('/v1/chat/completions', { ...chat, stream: true, stream_options: { include_usage: true } }))
    expect(chunks.map(({ object }) => object)).toEqual(Array.from({ length: 6 }, () => 'chat.completion.chunk'))
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '', refusal: null })
    expect(chunks.slice(1, 4).map(({ choices: [choice] }) => choice?.delta)).toEqual([{ content: 'Hel' }, { content: 'lo' }, { content: '!' }])
    expect(chunks[4]?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' })
    expect(chunks[5]).toMatchObject({ choices: [], usage })
    expect(chunks.slice(0, 5).map((chunk) => chunk.usage)).toEqual([null, null, null, null, null])
    expect(done).toBe(true)
  })

  test('an answer that moderation cut off says so, and keeps what was released', async () => {
    const moderation: StreamEvent = { type: 'moderation', action: 'block', categories: ['hate'], rules: ['hate/1'], policyVersion: 'p' }
    gateway.bus.play([acceptedEvent, delta(' So far')], [moderation, usageEvent, { type: 'done', finishReason: 'content_filter' }])
    const whole = await (await gateway.post('/v1/chat/completions', chat)).json<Chunk>()
    expect(whole.choices[0]).toMatchObject({ message: { content: 'So far' }, finish_reason: 'content_filter' })
    const { chunks, done } = await readStream(await gateway.post('/v1/chat/completions', { ...chat, stream: true }))
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('content_filter')
    expect(done).toBe(true)
  })

  test('a worker that takes over does not show', async () => {
    gateway.bus.play([acceptedEvent, delta('a')], [{ ...acceptedEvent, attempt: 2 } as StreamEvent, delta('b'), usageEvent, doneEvent])
    const { chunks } = await readStream(await gateway.post('/v1/chat/completions', { ...chat, stream: true }))
    expect(chunks.filter(({ choices: [choice] }) => choice?.delta?.role !== undefined)).toHaveLength(1)
    expect(chunks.map(({ choices: [choice] }) => choice?.delta?.content ?? '').join('')).toBe('ab')
  })
})

describe('several texts', () => {
  const text = (words: string, promptTokens = 5): ScriptStep => [acceptedEvent, delta(words), { type: 'usage', promptTokens, completionTokens: words.length }, doneEvent]
  const scored = (token: string, logprob: number): StreamEvent => ({ type: 'delta', text: token, logprobs: [{ token, bytes: [], logprob, top: [] }] })

  test('n choices are n jobs with a grant and a seed each, and the prompt counts once', async () => {
    const own = await createTestGateway()
    own.bus.playEach([text('one')], [{ pauseMs: 20 }, text('two')], [text('three')])
    const answer = await (await own.post('/v1/chat/completions', { ...chat, n: 3, seed: 7 })).json()
    expect(answer).toMatchObject({
      id: own.bus.jobs[0]?.id.replace('job_', 'chatcmpl-'),
      choices: ['one', 'two', 'three'].map((content, index) => ({ index, message: { content }, finish_reason: 'stop' })),
      usage: { prompt_tokens: 5, completion_tokens: 11, total_tokens: 16 },
    })
    expect(own.bus.jobs.map(({ request }) => request.sampling.seed)).toEqual([7, 8, 9])
    const verify = await createGrantVerifier(own.grantKey)
    for (const job of own.bus.jobs) await expect(verify(job, testModel.weightsDigest)).resolves.toMatchObject({ jti: job.id })
  })

  test('a stream carries them side by side, each with its role and its end, and one [DONE]', async () => {
    gateway.bus.playEach(
      [[acceptedEvent, delta(' a')], { pauseMs: 40 }, [delta('b'), usageEvent, doneEvent]],
      [[acceptedEvent], { pauseMs: 20 }, [delta(' c'), usageEvent, { type: 'done', finishReason: 'length' }]],
    )
    const { chunks, done, ids } = await readStream(await gateway.post('/v1/chat/completions', { ...chat, n: 2, stream: true, stream_options: { include_usage: true } }))
    const ofChoice = (index: number) => chunks.flatMap(({ choices: [choice] }) => (choice?.index === index ? [choice] : []))
    for (const index of [0, 1]) {
      expect(ofChoice(index)[0]?.delta?.role).toBe('assistant')
      expect(ofChoice(index).map((choice) => choice.delta?.content ?? '').join('')).toBe(['ab', 'c'][index])
      expect(ofChoice(index).map((choice) => choice.finish_reason).filter((reason) => reason !== null)).toEqual([['stop'], ['length']][index])
    }
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 6, total_tokens: 11 } })
    expect(chunks.filter((chunk) => chunk.usage != null)).toHaveLength(1)
    expect(done).toBe(true)
    // Entries of several jobs have no common order.
    expect(ids).toEqual([])
  })

  test('several prompts are answered in their order, and each counts', async () => {
    gateway.bus.playEach([text('a', 1)], [text('b', 1)], [text('c', 2)], [text('d', 2)])
    const answer = await (await gateway.post('/v1/completions', { model: 'phi-test', prompt: ['x', 'yy'], n: 2 })).json<Chunk>()
    expect(answer.choices.map((choice) => [choice.index, choice.text])).toEqual([[0, 'a'], [1, 'b'], [2, 'c'], [3, 'd']])
    expect(answer.usage).toEqual({ prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 })
    expect(gateway.bus.jobs.slice(-4).map(({ request: { prompt } }) => prompt.type === 'text' && prompt.text)).toEqual(['x', 'x', 'yy', 'yy'])
  })

  test('best_of answers with the likeliest texts by token, tells no scores unasked, and counts all of them', async () => {
    const ended = (finishReason: 'stop' | 'content_filter'): StreamEvent[] => [{ type: 'usage', promptTokens: 5, completionTokens: 2 }, { type: 'done', finishReason }]
    gateway.bus.playEach(
      [[acceptedEvent, scored('low', -3), ...ended('stop')]],
      // The sum is lower than that of "low", the mean is higher.
      [[acceptedEvent, scored('long ', -2), scored('text', -2), ...ended('stop')]],
      [[acceptedEvent, scored('cut off', -0.1), ...ended('content_filter')]],
      [[acceptedEvent, ...ended('stop')]],
      [[acceptedEvent, scored('high', -1), ...ended('stop')]],
    )
    const answer = await (await gateway.post('/v1/completions', { ...completion, n: 4, best_of: 5 })).json<Chunk>()
    expect(answer.choices.map((choice) => [choice.index, choice.text, choice.logprobs])).toEqual([[0, 'high', null], [1, 'long text', null], [2, 'low', null], [3, '', null]])
    expect(answer.usage).toEqual({ prompt_tokens: 5, completion_tokens: 10, total_tokens: 15 })
  })

  test('an echoed prompt does not count in the choice of the best', async () => {
    const usageOfOne: StreamEvent = { type: 'usage', promptTokens: 1, completionTokens: 1 }
    gateway.bus.playEach(
      [[acceptedEvent, scored('p', -9), scored('good', -1), usageOfOne, doneEvent]],
      [[acceptedEvent, scored('p', 0), scored('bad', -2), usageOfOne, doneEvent]],
    )
    const answer = await (await gateway.post('/v1/completions', { ...completion, echo: true, best_of: 2 })).json<Chunk>()
    expect(answer.choices.map((choice) => choice.text)).toEqual(['pgood'])
  })

  test.each([true, false])('when one fails, the others are cancelled and the request fails (stream: %s)', async (stream) => {
    const own = await createTestGateway()
    own.bus.playEach(['for-ever'], [[errorEvent('context_length_exceeded', 'Too long.', 'prompt')]], [[acceptedEvent], 'for-ever'])
    expect(await errorCode(await own.post('/v1/completions', { ...completion, n: 3, stream }))).toEqual([400, 'context_length_exceeded'])
    const [first, , third] = own.bus.jobs
    expect([...own.bus.cancelled].toSorted()).toEqual([first!.id, third!.id].toSorted())
  })

  test('when one can not be queued, the others are cancelled', async () => {
    const bus = createScriptedTokenBus()
    bus.serve(testModel)
    bus.play('for-ever')
    let submissions = 0
    const own = await createTestGateway({
      bus: {
        ...bus,
        async submit(job, signal) {
          submissions += 1
          if (submissions === 2) throw new ApiError('queue_unavailable', 'Redis is away.')
          return bus.submit(job, signal)
        },
      },
    })
    expect(await errorCode(await own.post('/v1/completions', { ...completion, n: 3 }))).toEqual([503, 'queue_unavailable'])
    expect([...bus.cancelled].toSorted()).toEqual(bus.jobs.map(({ id }) => id).toSorted())
    expect(bus.jobs).toHaveLength(2)
  })

  test('an error in the middle of a stream ends it once for all', async () => {
    const own = await createTestGateway()
    own.bus.playEach([[acceptedEvent, delta('Half')], 'for-ever'], [[acceptedEvent], { pauseMs: 30 }, [errorEvent('worker_lost', 'The worker died.')]])
    const { chunks, done } = await readStream(await own.post('/v1/completions', { ...completion, n: 2, stream: true }))
    expect(chunks.map((chunk) => chunk.error?.code ?? chunk.choices[0]?.text)).toEqual(['Half', 'worker_lost'])
    expect(done).toBe(false)
    expect([...own.bus.cancelled]).toEqual([own.bus.jobs[0]!.id])
    expect(own.log.map(({ code }) => code)).toEqual(['worker_lost'])
  })

  test('a client that leaves cancels all of them', async () => {
    const own = await createTestGateway()
    own.bus.play([acceptedEvent, delta('a')], 'for-ever')
    const response = await own.post('/v1/completions', { ...completion, n: 3, stream: true })
    const reader = present(response.body).getReader()
    await reader.read()
    await reader.cancel()
    expect([...own.bus.cancelled].toSorted()).toEqual(own.bus.jobs.map(({ id }) => id).toSorted())
    expect(own.bus.jobs).toHaveLength(3)
  })
})

describe('the job', () => {
  test('carries a grant that a worker can verify, bound to key, licence and weights', async () => {
    await (await gateway.post('/v1/completions', completion)).text()
    const job = present(gateway.bus.jobs.at(-1))
    const verify = await createGrantVerifier(gateway.grantKey)
    const claims = await verify(job, testModel.weightsDigest)
    expect(claims).toMatchObject({ sub: gateway.log.at(-1)?.keyId, purpose: 'bias in dialogue', licence: { profile: 'phigate-research' }, limits: { maxTokens: 16 } })
    expect(claims.exp * 1_000).toBeGreaterThanOrEqual(job.deadline + 30_000)
    await expect(verify({ ...job, request: { ...job.request, prompt: { type: 'text', text: 'another' } } }, testModel.weightsDigest)).rejects.toMatchObject({ code: 'grant_refused' })
  })
})

describe('errors of the worker', () => {
  const exceeded = errorEvent('context_length_exceeded', 'Too long.', 'prompt')

  test.each([true, false])('before any text are HTTP errors (stream: %s)', async (stream) => {
    gateway.bus.play([{ type: 'position', position: 0, expectedWaitMs: null }], [exceeded])
    expect(await errorCode(await gateway.post('/v1/completions', { ...completion, stream }))).toEqual([400, 'context_length_exceeded'])
    gateway.bus.play([acceptedEvent, errorEvent('generation_failed', 'The forward pass failed.')])
    expect(await errorCode(await gateway.post('/v1/chat/completions', { ...chat, stream }))).toEqual([500, 'generation_failed'])
    gateway.bus.play([errorEvent('grant_refused', 'No.')])
    expect(await errorCode(await gateway.post('/v1/completions', { ...completion, stream }))).toEqual([403, 'grant_refused'])
  })

  const brokenStreams: [string, string, ScriptStep[]][] = [
    ['the worker', 'worker_lost', [[errorEvent('worker_lost', 'The worker died.')]]],
    ['the bus', 'queue_unavailable', [{ fail: new ApiError('queue_unavailable', 'Redis is away.') }]],
    ['a bug', 'internal_error', [{ fail: new TypeError('private detail') }]],
    ['a stream without an end', 'queue_unavailable', []],
  ]

  test.each(brokenStreams)('in the middle of a stream, %s ends it with an error and no [DONE]', async (_name, code, steps) => {
    gateway.bus.play([acceptedEvent, delta('Half')], ...steps)
    const { chunks, done } = await readStream(await gateway.post('/v1/chat/completions', { ...chat, stream: true }))
    expect(chunks.at(-2)?.choices[0]?.delta?.content).toBe('Half')
    expect(chunks.at(-1)?.error?.code).toBe(code)
    expect(JSON.stringify(chunks)).not.toContain('private detail')
    expect(chunks.every((chunk) => chunk.error !== undefined || chunk.choices[0]?.finish_reason === null)).toBe(true)
    expect(done).toBe(false)
    expect(gateway.log.at(-1)).toMatchObject({ status: 200, code, stream: true })
  })

  test.each(brokenStreams)('a whole answer is never a part of one: %s fails the request', async (_name, code, steps) => {
    gateway.bus.play([acceptedEvent, delta('Half')], ...steps)
    expect((await errorCode(await gateway.post('/v1/completions', completion)))[1]).toBe(code)
  })

  test('text that came with the error is shown before it', async () => {
    gateway.bus.play([acceptedEvent], [delta('Half'), errorEvent('worker_lost', 'The worker died.')])
    const { chunks } = await readStream(await gateway.post('/v1/completions', { ...completion, stream: true }))
    expect(chunks.map((chunk) => chunk.error?.code ?? chunk.choices[0]?.text)).toEqual(['Half', 'worker_lost'])
  })
})

describe('waiting', () => {
  const impatient = { jobDeadlineMs: 60_000, commitAfterMs: 5, keepAliveMs: 5 }

  test('a job in the queue gets its 200 with comments, then its answer', async () => {
    const slow = await createTestGateway({ timing: impatient })
    slow.bus.play([{ type: 'position', position: 3, expectedWaitMs: null }], { pauseMs: 50 }, [acceptedEvent], { pauseMs: 50 }, [delta('a'), usageEvent, doneEvent])
    const response = await slow.post('/v1/chat/completions', { ...chat, stream: true })
    expect(response.status).toBe(200)
    const { chunks, comments, done } = await readStream(response)
    expect(new Set(comments)).toEqual(new Set([': queued, position 3', ': keep-alive']))
    expect(chunks[0]?.choices[0]?.delta?.role).toBe('assistant')
    expect(done).toBe(true)
  })

  test('an error after that is an error in the stream', async () => {
    const slow = await createTestGateway({ timing: impatient })
    slow.bus.play({ pauseMs: 30 }, [errorEvent('context_length_exceeded', 'Too long.', 'prompt')])
    const { chunks, comments, done } = await readStream(await slow.post('/v1/completions', { ...completion, stream: true }))
    expect(comments).toContain(': queued')
    expect(chunks.map(({ error }) => error?.code)).toEqual(['context_length_exceeded'])
    expect(done).toBe(false)
  })

  test.each([true, false])('a job that nobody takes ends after its deadline and is cancelled (stream: %s)', async (stream) => {
    const hopeless = await createTestGateway({ timing: { jobDeadlineMs: -3_000, commitAfterMs: 60_000, keepAliveMs: 60_000 } })
    hopeless.bus.play('for-ever')
    expect(await errorCode(await hopeless.post('/v1/completions', { ...completion, stream }))).toEqual([504, 'deadline_exceeded'])
    expect(hopeless.bus.cancelled.has(hopeless.bus.jobs[0]?.id ?? '')).toBe(true)
  })
})

describe('leaving early', () => {
  test('closing the stream cancels the job, once, and leaves one line', async () => {
    const own = await createTestGateway()
    own.bus.play([acceptedEvent, delta('a')], 'for-ever')
    const response = await own.post('/v1/completions', { ...completion, stream: true })
    const reader = present(response.body).getReader()
    await reader.read()
    await reader.cancel()
    expect([...own.bus.cancelled]).toEqual(own.bus.jobs.map(({ id }) => id))
    expect(own.log.map(({ code }) => code)).toEqual(['cancelled'])
  })

  test('an aborted request cancels the job of a stream that nobody reads', async () => {
    const own = await createTestGateway()
    own.bus.play([acceptedEvent, delta('a')], 'for-ever')
    const client = new AbortController()
    await own.post('/v1/completions', { ...completion, stream: true }, { signal: client.signal })
    client.abort()
    await vi.waitFor(() => expect(own.bus.cancelled.size).toBe(1))
    await vi.waitFor(() => expect(own.log.map(({ code }) => code)).toEqual(['cancelled']))
  })

  test('an aborted request cancels the job of a whole answer', async () => {
    const own = await createTestGateway()
    own.bus.play([acceptedEvent, delta('a')], 'for-ever')
    const client = new AbortController()
    const responding = own.post('/v1/completions', completion, { signal: client.signal })
    await vi.waitFor(() => expect(own.bus.jobs).toHaveLength(1))
    client.abort()
    expect(await errorCode(await responding)).toEqual([499, 'cancelled'])
    expect(own.bus.cancelled.size).toBe(1)
    expect(own.log.map(({ code }) => code)).toEqual(['cancelled'])
  })
})
