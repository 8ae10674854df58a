import { expect, test } from 'vitest'
import { ApiError } from '../../shared/errors.ts'
import { generationRequestSchema } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { parseChatCompletionRequest } from './chat-completion-request.ts'

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

const hello = [{ role: 'user', content: 'Hello' }]
const parse = (fields: object) => parseChatCompletionRequest({ model: model.id, messages: hello, ...fields }, model)

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

test('messages become a prompt, and an invented next turn stops the answer', () => {
  const request = requestOf({ stop: 'END' })
  expect(request).toMatchObject({
    prompt: { type: 'text', text: 'Instruct: Hello\nOutput:' },
    maxTokens: null,
    stop: ['END', '\nInstruct:'],
    logprobs: null,
    echo: false,
  })
  expect(generationRequestSchema.safeParse(request).success).toBe(true)
})

test('content may be text parts, and an earlier answer may be sent back as it came', () => {
  const request = requestOf({
    messages: [
      { role: 'developer', content: [{ type: 'text', text: 'Be' }, { type: 'text', text: 'kind' }] },
      { role: 'assistant', content: 'Hi', refusal: null, annotations: [], audio: null, tool_calls: [], function_call: null },
      { role: 'user', content: [{ type: 'text', text: 'Bye' }], name: null },
    ],
  })
  expect(request.prompt).toEqual({ type: 'text', text: 'Be\nkind\n\nOutput: Hi\nInstruct: Bye\nOutput:' })
})

test('each message and the whole prompt are moderated', () => {
  const messages = [{ role: 'system', content: 'one' }, { role: 'user', content: 'two' }]
  expect(parse({ messages }).textsToModerate).toEqual([
    { param: 'messages[0].content', text: 'one' },
    { param: 'messages[1].content', text: 'two' },
    { param: 'messages', text: 'one\n\nInstruct: two\nOutput:' },
  ])
})

test.each([
  [{}, null],
  [{ logprobs: false }, null],
  [{ logprobs: true }, 0],
  [{ logprobs: true, top_logprobs: 3 }, 3],
])('%j asks the worker for logprobs %j', (fields, expected) => {
  expect(requestOf(fields).logprobs).toBe(expected)
})

test('sampling parameters reach the job as they do from completions', () => {
  const { sampling } = requestOf({ top_k: 3, presence_penalty: -1, logit_bias: { 99: 100 }, min_tokens: 2, max_completion_tokens: 2 })
  expect(sampling).toMatchObject({ topK: 3, presencePenalty: -1, logitBias: [[99, 100]], minTokens: 2 })
})

test('n choices are n requests for the same prompt', () => {
  const { requests, choices, candidates } = parse({ n: 3, seed: 1 })
  expect({ choices, candidates }).toEqual({ choices: 3, candidates: 3 })
  expect(requests.map(({ sampling }) => sampling.seed)).toEqual([1, 2, 3])
  expect(new Set(requests.map(({ prompt }) => JSON.stringify(prompt))).size).toBe(1)
})

test('either name limits the tokens', () => {
  expect(requestOf({ max_tokens: 5 }).maxTokens).toBe(5)
  expect(requestOf({ max_completion_tokens: 6 }).maxTokens).toBe(6)
})

test.each<[object, string, string]>([
  [{ messages: undefined }, 'missing_parameter', 'messages'],
  [{ messages: [] }, 'invalid_parameter', 'messages'],
  [{ messages: 'Hello' }, 'invalid_parameter', 'messages'],
  [{ messages: [null] }, 'invalid_parameter', 'messages[0]'],
  [{ messages: [{ role: 'user' }] }, 'missing_parameter', 'messages[0].content'],
  [{ messages: [{ content: 'x' }] }, 'missing_parameter', 'messages[0].role'],
  [{ messages: [{ role: 'user', content: 5 }] }, 'invalid_parameter', 'messages[0].content'],
  [{ messages: [{ role: 'user', content: null }] }, 'invalid_parameter', 'messages[0].content'],
  [{ messages: [{ role: 'user', content: [] }] }, 'invalid_parameter', 'messages[0].content'],
  [{ messages: [...hello, { role: 'user', content: [{ type: 'text' }] }] }, 'missing_parameter', 'messages[1].content[0].text'],
  [{ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] }, 'unsupported_parameter', 'messages[0].content[0].type'],
  [{ messages: [{ role: 'robot', content: 'x' }] }, 'invalid_parameter', 'messages[0].role'],
  [{ messages: [{ role: 'tool', content: 'x', tool_call_id: '1' }] }, 'unsupported_parameter', 'messages[0].role'],
  [{ messages: [{ role: 'user', content: 'x', mood: 'glad' }] }, 'unknown_parameter', 'messages[0].mood'],
  [{ messages: [{ role: 'user', content: 'x', name: 'Ada' }] }, 'unsupported_parameter', 'messages[0].name'],
  [{ messages: [{ role: 'assistant', content: 'x', tool_calls: [{}] }] }, 'unsupported_parameter', 'messages[0].tool_calls'],
  [{ max_tokens: 0 }, 'invalid_parameter', 'max_tokens'],
  [{ max_tokens: 5, max_completion_tokens: 5 }, 'invalid_parameter', 'max_tokens'],
  [{ min_tokens: 6, max_completion_tokens: 5 }, 'invalid_parameter', 'min_tokens'],
  [{ logit_bias: { 100: 1 } }, 'invalid_parameter', 'logit_bias'],
  [{ n: 9 }, 'invalid_parameter', 'n'],
  [{ best_of: 2 }, 'unknown_parameter', 'best_of'],
  [{ top_logprobs: 2 }, 'invalid_parameter', 'top_logprobs'],
  [{ logprobs: 5 }, 'invalid_parameter', 'logprobs'],
  [{ response_format: { type: 'json_object' } }, 'unsupported_parameter', 'response_format.type'],
  [{ tools: [{ type: 'function' }] }, 'unsupported_parameter', 'tools'],
  [{ tool_choice: 'auto' }, 'unsupported_parameter', 'tool_choice'],
  [{ functions: [{}] }, 'unsupported_parameter', 'functions'],
  [{ modalities: ['text', 'audio'] }, 'unsupported_parameter', 'modalities'],
  [{ reasoning_effort: 'high' }, 'unsupported_parameter', 'reasoning_effort'],
  [{ store: true }, 'unsupported_parameter', 'store'],
  [{ metadata: { a: 'b' } }, 'unsupported_parameter', 'metadata'],
  [{ echo: true }, 'unknown_parameter', 'echo'],
  [{ prompt: 'x' }, 'unknown_parameter', 'prompt'],
])('%j is refused', (fields, code, param) => {
  expect(refusal(fields)).toEqual({ code, param })
})

test('values that change nothing are accepted', () => {
  expect(() =>
    parse({
      n: 1,
      tools: [],
      tool_choice: 'none',
      response_format: { type: 'text' },
      modalities: ['text'],
      store: false,
      metadata: {},
      service_tier: 'auto',
      verbosity: 'medium',
      reasoning_effort: 'none',
      safety_identifier: 'x',
      parallel_tool_calls: null,
    }),
  ).not.toThrow()
})
