import { expect, test } from 'vitest'
import { ApiError } from '../../shared/errors.ts'
import { generationRequestSchema } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { parseCompletionRequest } from './completion-request.ts'

const model: ModelRegistration = {
  id: 'phi-test',
  weightsDigest: `sha256:${'ab'.repeat(32)}`,
  precision: 'fp32',
  contextLength: 8,
  vocabularySize: 100,
  licence: 'mit',
  created: 0,
  ownedBy: 'test',
  startedAt: 0,
}

const parse = (fields: object) => parseCompletionRequest({ model: 'phi-test', prompt: 'Hi', ...fields }, model)

const requestOf = (fields: object) => parse(fields).requests[0]!

function refusal(fields: object): { code: string; param: string | null } {
  try {
    parse(fields)
  } catch (error) {
    if (error instanceof ApiError) return { code: error.code, param: error.param }
    throw error
  }
  throw new Error('The request was not refused.')
}

test("OpenAI's defaults hold, and null is absence", () => {
  const nothing = { max_tokens: null, temperature: null, top_p: null, seed: null, stop: null, stream: null, stream_options: null, logprobs: null }
  for (const fields of [{}, { ...nothing, echo: null, n: null, best_of: null, logit_bias: null, top_k: null, min_p: null, repetition_penalty: null, min_tokens: null, suffix: null, user: null, ignore_eos: null }]) {
    const parsed = parse(fields)
    expect(parsed).toMatchObject({
      stream: false,
      includeUsage: false,
      candidates: 1,
      choices: 1,
      withLogprobs: false,
      requests: [
        {
          prompt: { type: 'text', text: 'Hi' },
          maxTokens: 16,
          sampling: { temperature: 1, topP: 1 },
          stop: [],
          ignoreEos: false,
          logprobs: null,
          echo: false,
        },
      ],
    })
    expect(generationRequestSchema.safeParse(requestOf(fields)).success).toBe(true)
  }
})

test('every parameter reaches the job', () => {
  const fields = {
    max_tokens: 3,
    temperature: 0,
    top_p: 0.5,
    top_k: 40,
    min_p: 0.1,
    frequency_penalty: -2,
    presence_penalty: 0.5,
    repetition_penalty: 1.2,
    logit_bias: { 0: -100, 99: 2.5 },
    min_tokens: 3,
    seed: 7,
    stop: ['a', 'b'],
    stream: true,
    stream_options: { include_usage: true },
    logprobs: 5,
    echo: true,
    ignore_eos: true,
  }
  expect(parse(fields)).toMatchObject({ stream: true, includeUsage: true, withLogprobs: true })
  expect(parse(fields).requests).toHaveLength(1)
  expect(requestOf(fields)).toEqual({
    prompt: { type: 'text', text: 'Hi' },
    maxTokens: 3,
    sampling: {
      temperature: 0,
      topP: 0.5,
      topK: 40,
      minP: 0.1,
      frequencyPenalty: -2,
      presencePenalty: 0.5,
      repetitionPenalty: 1.2,
      logitBias: [
        [0, -100],
        [99, 2.5],
      ],
      minTokens: 3,
      seed: 7,
    },
    stop: ['a', 'b'],
    ignoreEos: true,
    logprobs: 5,
    echo: true,
  })
})

test.each([
  ['Hi', { type: 'text', text: 'Hi' }],
  [['Hi'], { type: 'text', text: 'Hi' }],
  [[1, 2], { type: 'tokens', tokens: [1, 2] }],
  [[[1, 2]], { type: 'tokens', tokens: [1, 2] }],
  ['\ud800', { type: 'text', text: '\ufffd' }],
])('the prompt %j is understood', (prompt, expected) => {
  expect(requestOf({ prompt }).prompt).toEqual(expected)
})

test('token prompts are left to the worker to moderate, texts are not', () => {
  expect(parse({ prompt: [1] }).textsToModerate).toEqual([])
  expect(parse({ prompt: 'x' }).textsToModerate).toEqual([{ param: 'prompt', text: 'x' }])
})

test('a seed is drawn when none is given, and any of OpenAI is mapped onto the range of the job', () => {
  expect(requestOf({}).sampling.seed).not.toBe(requestOf({}).sampling.seed)
  expect(requestOf({ seed: -1 }).sampling.seed).toBe(Number.MAX_SAFE_INTEGER)
  expect(requestOf({ seed: Number.MAX_SAFE_INTEGER }).sampling.seed).toBe(Number.MAX_SAFE_INTEGER)
})

test('several prompts and several texts of each are one request each, with seeds that count on', () => {
  const parsed = parse({ prompt: ['a', 'b'], n: 2, best_of: 3, seed: 5 })
  expect(parsed).toMatchObject({ candidates: 3, choices: 2, withLogprobs: false })
  expect(parsed.requests.map(({ prompt, sampling, logprobs }) => [prompt.type === 'text' && prompt.text, sampling.seed, logprobs])).toEqual([
    ['a', 5, 0],
    ['a', 6, 0],
    ['a', 7, 0],
    ['b', 5, 0],
    ['b', 6, 0],
    ['b', 7, 0],
  ])
  expect(parsed.textsToModerate).toEqual([
    { param: 'prompt[0]', text: 'a' },
    { param: 'prompt[1]', text: 'b' },
  ])
  // Nothing has to be ranked when every text is a choice.
  expect(parse({ n: 2, best_of: 2, stream: true }).requests.map(({ logprobs }) => logprobs)).toEqual([null, null])
  expect(parse({ n: 2, seed: Number.MAX_SAFE_INTEGER }).requests.map(({ sampling }) => sampling.seed)).toEqual([Number.MAX_SAFE_INTEGER, 0])
})

test('top_p 0, which OpenAI allows, is the smallest nucleus', () => {
  const { topP } = requestOf({ top_p: 0 }).sampling
  expect(topP).toBeGreaterThan(0)
  expect(topP).toBeLessThan(1e-9)
})

test.each([0, -1])("top_k %i, vLLM's ways to say all tokens, is no limit", (top_k) => {
  expect(requestOf({ top_k }).sampling.topK).toBeUndefined()
})

test.each<[object, string, string]>([
  [{ prompt: undefined }, 'missing_parameter', 'prompt'],
  [{ prompt: null }, 'missing_parameter', 'prompt'],
  [{ prompt: '' }, 'invalid_parameter', 'prompt'],
  [{ prompt: [] }, 'invalid_parameter', 'prompt'],
  [{ prompt: {} }, 'invalid_parameter', 'prompt'],
  [{ prompt: [[]] }, 'invalid_parameter', 'prompt[0]'],
  [{ prompt: [true] }, 'invalid_parameter', 'prompt[0]'],
  [{ prompt: [1, 'a'] }, 'invalid_parameter', 'prompt[1]'],
  [{ prompt: [[1, 100]] }, 'invalid_parameter', 'prompt[0][1]'],
  [{ prompt: [1.5] }, 'invalid_parameter', 'prompt[0]'],
  [{ prompt: [''] }, 'invalid_parameter', 'prompt[0]'],
  [{ prompt: ['a', [1]] }, 'invalid_parameter', 'prompt[1]'],
  [{ prompt: [[1], 'a'] }, 'invalid_parameter', 'prompt[1]'],
  [{ prompt: [[1], [100]] }, 'invalid_parameter', 'prompt[1][0]'],
  [{ prompt: Array.from({ length: 33 }, () => 'a') }, 'invalid_parameter', 'prompt'],
  [{ prompt: Array.from({ length: 5 }, () => 'a'), n: 8 }, 'invalid_parameter', 'prompt'],
  [{ prompt: Array.from({ length: 9 }, () => 1) }, 'context_length_exceeded', 'prompt'],
  [{ max_tokens: -1 }, 'invalid_parameter', 'max_tokens'],
  [{ max_tokens: 1.5 }, 'invalid_parameter', 'max_tokens'],
  [{ max_tokens: '5' }, 'invalid_parameter', 'max_tokens'],
  [{ temperature: 2.1 }, 'invalid_parameter', 'temperature'],
  [{ top_p: 1.1 }, 'invalid_parameter', 'top_p'],
  [{ seed: 2 ** 60 }, 'invalid_parameter', 'seed'],
  [{ stop: ['1', '2', '3', '4', '5'] }, 'invalid_parameter', 'stop'],
  [{ stop: [''] }, 'invalid_parameter', 'stop[0]'],
  [{ stop: 5 }, 'invalid_parameter', 'stop'],
  [{ logprobs: 21 }, 'invalid_parameter', 'logprobs'],
  [{ logprobs: true }, 'invalid_parameter', 'logprobs'],
  [{ stream: 'yes' }, 'invalid_parameter', 'stream'],
  [{ stream_options: { include_usage: true } }, 'invalid_parameter', 'stream_options'],
  [{ stream: true, stream_options: { other: 1 } }, 'unknown_parameter', 'stream_options.other'],
  [{ n: 9 }, 'invalid_parameter', 'n'],
  [{ n: 0 }, 'invalid_parameter', 'n'],
  [{ best_of: 17 }, 'invalid_parameter', 'best_of'],
  [{ best_of: 2, n: 3 }, 'invalid_parameter', 'best_of'],
  [{ best_of: 2, stream: true }, 'invalid_parameter', 'best_of'],
  [{ frequency_penalty: 2.5 }, 'invalid_parameter', 'frequency_penalty'],
  [{ presence_penalty: -3 }, 'invalid_parameter', 'presence_penalty'],
  [{ repetition_penalty: 0 }, 'invalid_parameter', 'repetition_penalty'],
  [{ top_k: -2 }, 'invalid_parameter', 'top_k'],
  [{ top_k: 1.5 }, 'invalid_parameter', 'top_k'],
  [{ min_p: 1.1 }, 'invalid_parameter', 'min_p'],
  [{ min_tokens: -1 }, 'invalid_parameter', 'min_tokens'],
  [{ min_tokens: 17 }, 'invalid_parameter', 'min_tokens'],
  [{ logit_bias: [1] }, 'invalid_parameter', 'logit_bias'],
  [{ logit_bias: 'none' }, 'invalid_parameter', 'logit_bias'],
  [{ logit_bias: { 100: 1 } }, 'invalid_parameter', 'logit_bias'],
  [{ logit_bias: { '05': 1 } }, 'invalid_parameter', 'logit_bias'],
  [{ logit_bias: { '-1': 1 } }, 'invalid_parameter', 'logit_bias'],
  [{ logit_bias: { hello: 1 } }, 'invalid_parameter', 'logit_bias'],
  [{ logit_bias: JSON.parse('{"__proto__": 1}') as object }, 'invalid_parameter', 'logit_bias'],
  [{ logit_bias: { 5: 101 } }, 'invalid_parameter', 'logit_bias.5'],
  [{ logit_bias: { 5: '1' } }, 'invalid_parameter', 'logit_bias.5'],
  [{ logit_bias: { 5: null } }, 'invalid_parameter', 'logit_bias.5'],
  [{ logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, token) => [token, 1])) }, 'invalid_parameter', 'logit_bias'],
  [{ suffix: 'end' }, 'unsupported_parameter', 'suffix'],
  [{ temprature: 1 }, 'unknown_parameter', 'temprature'],
  [JSON.parse('{"__proto__": 1}') as object, 'unknown_parameter', '__proto__'],
])('%j is refused', (fields, code, param) => {
  expect(refusal(Object.assign(Object.create(null) as object, fields))).toEqual({ code, param })
})

test('values that change nothing are accepted', () => {
  expect(() => parse({ n: 1, best_of: 1, frequency_penalty: 0, presence_penalty: 0, repetition_penalty: 1, min_p: 0, min_tokens: 0, logit_bias: {}, suffix: '', user: 'u' })).not.toThrow()
})
