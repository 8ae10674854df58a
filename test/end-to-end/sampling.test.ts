import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { byteToken, spellBytes } from '../../gpu-worker/model/byte-level-tokenizer.ts'
import { readServerSentEvents } from '../support/read-sse.ts'
import { writeScriptedCheckpoint } from '../support/scripted-checkpoint.ts'
import { serveCheckpoint } from '../support/system.ts'
import type { System } from '../support/system.ts'

/** A real model that goes round and round (scripted-checkpoint.ts): what sampling parameters do to it can be foretold. */
let folder: string
let system: System
let model: string
let vocabularySize: number
let tokenOf: (piece: string) => number

const round = [' here', ' we', ' go', ' again']

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phigate-sampling-'))
  const checkpoint = join(folder, 'checkpoint')
  await writeScriptedCheckpoint({ folder: checkpoint, script: round, loop: true })
  const readJson = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(checkpoint, name), 'utf8'))
  const { vocab } = z.object({ model: z.object({ vocab: z.record(z.string(), z.int()) }) }).parse(await readJson('tokenizer.json')).model
  tokenOf = (piece) => vocab[spellBytes(new TextEncoder().encode(piece))]!
  vocabularySize = z.object({ vocab_size: z.int() }).parse(await readJson('config.json')).vocab_size
  const served = await serveCheckpoint(checkpoint)
  system = served.system
  model = served.model
})
afterAll(async () => {
  await system.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Choice {
  readonly index: number
  readonly text: string
  readonly finish_reason: string
  readonly logprobs: { readonly tokens: string[]; readonly token_logprobs: number[]; readonly top_logprobs: Record<string, number>[] } | null
}

interface Completion {
  readonly choices: Choice[]
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

async function completion(parameters: object): Promise<Completion> {
  const response = await system.post('/v1/completions', { model, prompt: 'Go', max_tokens: 8, temperature: 0, ...parameters })
  expect(response.status).toBe(200)
  return (await response.json()) as Completion
}

async function complete(parameters: object): Promise<Choice> {
  const { choices } = await completion(parameters)
  expect(choices).toHaveLength(1)
  return choices[0]!
}

const loop = (tokens: number): string => Array.from({ length: tokens }, (_, index) => round[index % round.length]).join('')

test('left alone, the model goes round', async () => {
  expect((await complete({ max_tokens: 40 })).text).toBe(loop(40))
})

describe('logit_bias', () => {
  test('bans a token, and makes another one the only choice', async () => {
    expect((await complete({ logit_bias: { [tokenOf(' here')]: -100 } })).text).not.toContain(' here')
    expect((await complete({ logit_bias: { [tokenOf(' go')]: 100 }, max_tokens: 3 })).text).toBe(' go go go')
  })

  test('leaves the scores those of the model', async () => {
    const { logprobs } = await complete({ logit_bias: { [tokenOf(' here')]: -100 }, max_tokens: 1, logprobs: 1 })
    expect(logprobs?.tokens).not.toEqual([' here'])
    expect(logprobs?.top_logprobs[0]?.[' here']).toBeCloseTo(0, 3)
    expect(logprobs?.token_logprobs[0]).toBeLessThan(-5)
  })

  test('that bans everything is refused, in a stream too', async () => {
    const logit_bias = Object.fromEntries(Array.from({ length: vocabularySize }, (_, token) => [token, -100]))
    for (const stream of [false, true]) {
      const response = await system.post('/v1/completions', { model, prompt: 'Go', logit_bias, stream })
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ error: { code: 'invalid_parameter', param: 'logit_bias' } })
    }
  })

  test('works in chat as well', async () => {
    const response = await system.post('/v1/chat/completions', {
      model,
      messages: [{ role: 'user', content: 'Go' }],
      max_tokens: 3,
      temperature: 0,
      logit_bias: { [tokenOf(' we')]: 100 },
    })
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'we we we' } }] })
  })
})

describe('penalties', () => {
  test('a frequency penalty breaks the loop, once its sum is larger than the lead of the next word', async () => {
    const { text } = await complete({ frequency_penalty: 2, max_tokens: 120 })
    expect(text.startsWith(loop(8))).toBe(true)
    expect(text).not.toBe(loop(120))
  })

  test('a repetition penalty breaks it at the first repetition', async () => {
    // The right word's logit is 40; a tenth of it is less than what the exclamation mark has.
    const parameters = { logit_bias: { [byteToken('!'.charCodeAt(0))]: 6 }, max_tokens: 5 }
    expect((await complete(parameters)).text).toBe(loop(5))
    expect((await complete({ ...parameters, repetition_penalty: 10 })).text).toBe(`${loop(4)}!`)
  })

  test('a negative presence penalty keeps it going', async () => {
    expect((await complete({ presence_penalty: -2, max_tokens: 40 })).text).toBe(loop(40))
  })
})

test('min_tokens looks past the first stop sequence', async () => {
  expect(await complete({ stop: ' we' })).toMatchObject({ text: ' here', finish_reason: 'stop' })
  expect(await complete({ stop: ' we', min_tokens: 3 })).toMatchObject({ text: loop(5), finish_reason: 'stop' })
})

/** Where everything is nearly as likely, a plain draw does not stay on the path. */
const wildly = (): object => ({ temperature: 2, max_tokens: 20, logit_bias: Object.fromEntries(round.map((piece) => [tokenOf(piece), -30])) })

test('top_k 1 is greedy at any temperature, and so is min_p 1', async () => {
  const wild = { ...wildly(), seed: 1 }
  const { text: greedy } = await complete({ ...wild, temperature: 0 })
  expect((await complete({ ...wild, top_k: 1 })).text).toBe(greedy)
  expect((await complete({ ...wild, min_p: 1 })).text).toBe(greedy)
  expect((await complete(wild)).text).not.toBe(greedy)
})

describe('several texts in one request', () => {
  test('the i-th of n is what the seed + i gives alone, streamed or not', async () => {
    const alone = await Promise.all([5, 6, 7].map(async (seed) => (await complete({ ...wildly(), seed })).text))
    expect(new Set(alone).size).toBe(3)
    const together = await completion({ ...wildly(), seed: 5, n: 3 })
    expect(together.choices.map(({ index, text }) => [index, text])).toEqual(alone.map((text, index) => [index, text]))
    expect(together.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 60 })

    const response = await system.post('/v1/completions', { model, prompt: 'Go', ...wildly(), seed: 5, n: 3, stream: true })
    const streamed = ['', '', '']
    const ends: (string | null)[] = []
    let last = ''
    for await (const data of readServerSentEvents(response)) {
      last = data
      if (data === '[DONE]') continue
      const [choice] = (JSON.parse(data) as Completion).choices
      streamed[choice!.index] += choice!.text
      if (choice!.finish_reason !== null) ends.push(choice!.finish_reason)
    }
    expect(streamed).toEqual(alone)
    expect(ends).toEqual(['length', 'length', 'length'])
    expect(last).toBe('[DONE]')
  })

  test('best_of takes the one with the highest log-probability per token', async () => {
    const alone = await Promise.all([1, 2, 3, 4].map((seed) => complete({ ...wildly(), seed, logprobs: 0 })))
    const means = alone.map(({ logprobs }) => logprobs!.token_logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs!.token_logprobs.length)
    const best = await complete({ ...wildly(), seed: 1, best_of: 4 })
    expect(best).toMatchObject({ text: alone[means.indexOf(Math.max(...means))]!.text, logprobs: null })
  })

  test('several prompts, each with its scores', async () => {
    const prompts = ['Go', 'Go there', 'Stay']
    const { choices, usage } = await completion({ prompt: prompts, echo: true, max_tokens: 2, logprobs: 0 })
    expect(choices.map(({ text }) => text)).toEqual(prompts.map((prompt) => `${prompt}${loop(2)}`))
    expect(choices.map(({ logprobs }) => logprobs!.tokens.length)).toEqual(prompts.map((prompt) => prompt.length + 2))
    expect(usage.prompt_tokens).toBe(prompts.join('').length)
  })
})
