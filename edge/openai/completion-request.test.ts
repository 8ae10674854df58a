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
      request: {
        prompt: { type: 'text', text: 'Hi' },
        maxTokens: 16,
        sampling: { temperature: 1, topP: 1 },
        stop: [],
        ignoreEos: false,
        logprobs: null,
        echo: false,
      },
    })
    expect(generationRequestSchema.safeParse(parsed.request).success).toBe(true)
  }
})

test('every parameter reaches the job', () => {
  const { request, stream, includeUsage } = parse({
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
  })
  expect({ stream, includeUsage }).toEqual({ stream: true, includeUsage: true })
  expect(request).toEqual({
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
  expect(parse({ prompt }).request.prompt).toEqual(expected)
})

test('token prompts are left to the worker to moderate, texts are not', () => {
  expect(parse({ prompt: [1] }).textsToModerate).toEqual([])
  expect(parse({ prompt: 'x' }).textsToModerate).toEqual([{ param: 'prompt', text: 'x' }])
})

test('a seed is drawn when none is given, and any of OpenAI is mapped onto the range of the job', () => {
  expect(parse({}).request.sampling.seed).not.toBe(parse({}).request.sampling.seed)
  expect(parse({ seed: -1 }).request.sampling.seed).toBe(Number.MAX_SAFE_INTEGER)
  expect(parse({ seed: Number.MAX_SAFE_INTEGER }).request.sampling.seed).toBe(Number.MAX_SAFE_INTEGER)
})

test('top_p 0, which OpenAI allows, is the smallest nucleus', () => {
  const { topP } = parse({ top_p: 0 }).request.sampling
  expect(topP).toBeGreaterThan(0)
  expect(topP).toBeLessThan(1e-9)
})

test.each([0, -1])("top_k %i, vLLM's ways to say all tokens, is no limit", (top_k) => {
  expect(parse({ top_k }).request.sampling.topK).toBeUndefined()
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
  [{ prompt: ['a', 'b'] }, 'unsupported_parameter', 'prompt'],
  [{ prompt: [[1], [2]] }, 'unsupported_parameter', 'prompt'],
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
  [{ n: 2 }, 'unsupported_parameter', 'n'],
  [{ n: 0 }, 'invalid_parameter', 'n'],
  [{ best_of: 2 }, 'unsupported_parameter', 'best_of'],
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
