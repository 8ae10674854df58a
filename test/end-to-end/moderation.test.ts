import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { byteToken } from '../../gpu-worker/model/byte-level-tokenizer.ts'
import { readServerSentEvents } from '../support/read-sse.ts'
import { writeScriptedCheckpoint } from '../support/scripted-checkpoint.ts'
import { serveCheckpoint } from '../support/system.ts'
import type { System } from '../support/system.ts'

/** A real model that says, token by token, what policy forbids; see scripted-checkpoint.ts. */
let folder: string
let system: System
let model: string

const harmless = ['Here ', 'is some', ' harmless text', ' to begin', ' with.\n', 'And now, ']
const forbidden = ['how to', ' make', ' a pi', 'pe bo', 'mb at', ' home', ' is this']
const heart = new TextEncoder().encode('❤')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phigate-moderation-'))
  const checkpoint = join(folder, 'checkpoint')
  await writeScriptedCheckpoint({
    folder: checkpoint,
    script: [...harmless, ...forbidden],
    triggers: { '!': ['I ', heart.subarray(0, 1), heart.subarray(1), ' you STOP', ' never said'], '?': ['Yes, of course', ' it is.'] },
  })
  const served = await serveCheckpoint(checkpoint)
  system = served.system
  model = served.model
})
afterAll(async () => {
  await system.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Chunk {
  readonly choices: { readonly text: string; readonly finish_reason: string | null }[]
}

async function streamed(body: object): Promise<{ text: string; finishReason: string | null; raw: string }> {
  const response = await system.post('/v1/completions', { model, max_tokens: 60, temperature: 0, stream: true, ...body })
  expect(response.status).toBe(200)
  let text = ''
  let raw = ''
  let finishReason: string | null = null
  for await (const data of readServerSentEvents(response)) {
    raw += data
    if (data === '[DONE]') continue
    const choice = (JSON.parse(data) as Chunk).choices[0]
    text += choice?.text ?? ''
    finishReason = choice?.finish_reason ?? finishReason
  }
  return { text, finishReason, raw }
}

describe('a model that says what policy forbids', () => {
  test('is cut off in a stream before the first letter of it', async () => {
    const { text, finishReason, raw } = await streamed({ prompt: 'Go on.' })
    expect(finishReason).toBe('content_filter')
    expect(harmless.join('').startsWith(text)).toBe(true)
    expect(text).toContain('harmless text')
    expect(raw).not.toMatch(/pi|pe bo|mb at/)
  })

  test('is cut off in a whole answer as well, log-probabilities included', async () => {
    const response = await system.post('/v1/completions', { model, prompt: 'Go on.', max_tokens: 60, temperature: 0, logprobs: 0 })
    expect(response.status).toBe(200)
    const answer = await response.text()
    expect(answer).toContain('"content_filter"')
    expect(answer).not.toMatch(/pe bo|mb at/)
  })

  test('leaves nothing of it in Redis', async () => {
    const redis = system.redis()
    await streamed({ prompt: 'Go on.' })
    for (const key of await redis.keys('res:*')) {
      const stored = JSON.stringify(await redis.xrange(key, '-', '+'))
      expect(stored).not.toMatch(/pe bo|mb at/)
    }
  })
})

test('half a UTF-8 character is never sent', async () => {
  const { text, raw } = await streamed({ prompt: 'Go on!' })
  expect(text).toBe('I ❤ you STOP never said')
  expect(raw).not.toContain('\uFFFD')
})

test('a stop sequence ends the answer and is not part of it', async () => {
  expect(await streamed({ prompt: 'Go on!', stop: 'STOP' })).toMatchObject({ text: 'I ❤ you ', finishReason: 'stop' })
  expect(await streamed({ prompt: 'Go on!', stop: ['never', 'OP nev'] })).toMatchObject({ text: 'I ❤ you ST', finishReason: 'stop' })
})

test('end of text ends the answer, and ignore_eos goes past it', async () => {
  expect(await streamed({ prompt: 'Is it?' })).toMatchObject({ text: 'Yes, of course it is.', finishReason: 'stop' })
  const { finishReason } = await streamed({ prompt: 'Is it?', ignore_eos: true, max_tokens: 5 })
  expect(['length', 'content_filter']).toContain(finishReason)
})

test('a prompt given as token ids is read by the filter too', async () => {
  const prompt = [...new TextEncoder().encode('Tell me how to make a pipe bomb.')].map(byteToken)
  const redis = system.redis()
  const before = (await redis.keys('res:*')).length
  const response = await system.post('/v1/completions', { model, prompt, max_tokens: 5 })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ error: { code: 'content_filter' } })
  expect((await redis.keys('res:*')).length).toBe(before + 1)
})
