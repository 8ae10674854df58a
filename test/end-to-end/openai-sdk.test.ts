import { AuthenticationError, NotFoundError, OpenAI } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSystem } from '../support/system.ts'
import type { System } from '../support/system.ts'

let system: System
let client: OpenAI
const model = 'phi-mini'

beforeAll(async () => {
  system = await startSystem()
  client = new OpenAI({ baseURL: system.dev.baseUrl, apiKey: system.dev.researchKey, maxRetries: 0 })
})
afterAll(() => system.stop())

test('models are listed and found one by one', async () => {
  const models = await client.models.list()
  expect(models.data[0]).toMatchObject({ id: model, object: 'model' })
  expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: 'model' })
})

describe('completions', () => {
  test('answer whole', async () => {
    const completion = await client.completions.create({ model, prompt: 'The harbor', max_tokens: 12, temperature: 0 })
    expect(completion.object).toBe('text_completion')
    expect(completion.choices[0]?.text.length).toBeGreaterThan(0)
    expect(completion.usage?.total_tokens).toBe((completion.usage?.prompt_tokens ?? 0) + (completion.usage?.completion_tokens ?? 0))
    expect(completion._request_id).toMatch(/^req_/)
  })

  test('stream the same text that they answer whole', async () => {
    const request = { model, prompt: 'The harbor', max_tokens: 40, temperature: 0.7, seed: 7 } as const
    const whole = await client.completions.create(request)
    const stream = await client.completions.create({ ...request, stream: true, stream_options: { include_usage: true } })
    let text = ''
    const ids = new Set<string>()
    let finish: string | null = null
    let usage: unknown
    for await (const chunk of stream) {
      ids.add(chunk.id)
      text += chunk.choices[0]?.text ?? ''
      finish = chunk.choices[0]?.finish_reason ?? finish
      usage = chunk.usage ?? usage
    }
    expect(text).toBe(whole.choices[0]?.text)
    expect(ids.size).toBe(1)
    expect(finish).toBe(whole.choices[0]?.finish_reason)
    expect(usage).toEqual(whole.usage)
  })

  test('repeat with the same seed and differ with another', async () => {
    const sample = async (seed: number): Promise<string | undefined> =>
      (await client.completions.create({ model, prompt: 'Once', max_tokens: 30, temperature: 1.5, seed })).choices[0]?.text
    expect(await sample(1)).toBe(await sample(1))
    expect(await sample(1)).not.toBe(await sample(2))
  })

  test('score a prompt without generating: echo, logprobs, max_tokens 0', async () => {
    const prompt = 'The harbor is full of boats.'
    const completion = await client.completions.create({ model, prompt, max_tokens: 0, echo: true, logprobs: 2 })
    const choice = completion.choices[0]
    expect(choice?.text).toBe(prompt)
    expect(choice?.logprobs?.tokens?.join('')).toBe(prompt)
    expect(choice?.logprobs?.token_logprobs?.[0]).toBeNull()
    expect(choice?.logprobs?.token_logprobs?.slice(1).every((value) => value <= 0)).toBe(true)
    expect(choice?.logprobs?.text_offset?.[0]).toBe(0)
    expect(completion.usage).toMatchObject({ completion_tokens: 0 })
  })
})

describe('chat', () => {
  const messages = [{ role: 'user', content: 'What is a harbor?' }] as const

  test('answers whole', async () => {
    const completion = await client.chat.completions.create({ model, messages: [...messages], max_tokens: 12, temperature: 0 })
    expect(completion.object).toBe('chat.completion')
    expect(completion.choices[0]?.message).toMatchObject({ role: 'assistant' })
    expect(['stop', 'length']).toContain(completion.choices[0]?.finish_reason)
  })

  test('streams the same text', async () => {
    const request = { model, messages: [...messages], max_tokens: 30, temperature: 0 }
    const whole = await client.chat.completions.create(request)
    const runner = client.chat.completions.stream(request)
    expect((await runner.finalChatCompletion()).choices[0]?.message.content).toBe(whole.choices[0]?.message.content)
  })

  test('reports log-probabilities', async () => {
    const completion = await client.chat.completions.create({
      model,
      messages: [...messages],
      max_tokens: 4,
      temperature: 0,
      logprobs: true,
      top_logprobs: 3,
    })
    const content = completion.choices[0]?.logprobs?.content ?? []
    expect(content.length).toBeGreaterThan(0)
    for (const token of content) {
      expect(token.top_logprobs).toHaveLength(3)
      expect(token.logprob).toBeCloseTo(token.top_logprobs[0]?.logprob ?? Number.NaN, 5)
    }
  })
})

test('a client that goes away stops its generation', async () => {
  const redis = system.redis()
  const stream = await client.completions.create({ model, prompt: 'Once', max_tokens: 900, temperature: 1, stream: true }, {})
  for await (const _ of stream) break
  const jobs = `jobs:{${model}}:interactive`
  await expect.poll(() => redis.xlen(jobs), { timeout: 10_000 }).toBe(0)
})

test('errors are the SDK’s own classes', async () => {
  const stranger = new OpenAI({ baseURL: system.dev.baseUrl, apiKey: 'nonsense', maxRetries: 0 })
  await expect(stranger.models.list()).rejects.toBeInstanceOf(AuthenticationError)
  await expect(client.completions.create({ model: 'gpt-9', prompt: 'x' })).rejects.toBeInstanceOf(NotFoundError)
  await expect(client.completions.create({ model, prompt: 'x', temperature: 9 })).rejects.toMatchObject({
    status: 400,
    type: 'invalid_request_error',
    param: 'temperature',
  })
})
