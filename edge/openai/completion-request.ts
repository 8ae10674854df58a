/** Checks a request to /v1/completions and turns it into a generation request. */
import * as z from 'zod'
import { apiError } from '../../shared/errors.ts'
import { maximumTopLogprobs } from '../../shared/job.ts'
import type { Prompt } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { checkStreamOptions, maximumTexts, onlyNeutral, requestsFor, samplingOf, sharedFields, streamingOf } from './request-fields.ts'
import type { ParsedRequest } from './request-fields.ts'
import { parseParameters } from './validation.ts'

const defaultMaxTokens = 16
const maximumCandidates = 16

const completionSchema = z
  .strictObject({
    ...sharedFields,
    /** Checked by `readPrompt`: four shapes, and possibly a million numbers. */
    prompt: z.unknown(),
    max_tokens: z.int().min(0).nullish(),
    logprobs: z.int().min(0).max(maximumTopLogprobs).nullish(),
    echo: z.boolean().nullish(),
    best_of: z.int().min(1).max(maximumCandidates).nullish(),
    suffix: onlyNeutral('Insertion (suffix) is not offered by this gateway.', (value) => value === ''),
  })
  .superRefine(checkStreamOptions)
  .superRefine(({ n, best_of: bestOf, stream }, context) => {
    if (bestOf == null || bestOf === (n ?? 1)) return
    if (bestOf < (n ?? 1)) context.addIssue({ code: 'custom', path: ['best_of'], message: 'it must not be less than n' })
    // The best of several is known only when all of them have ended.
    else if (stream === true) context.addIssue({ code: 'custom', path: ['best_of'], message: 'with stream it must be equal to n' })
  })

export function parseCompletionRequest(body: unknown, model: ModelRegistration): ParsedRequest {
  const parameters = parseParameters(completionSchema, body)
  const prompts = readPrompts(parameters.prompt, model)
  const choices = parameters.n ?? 1
  const candidates = parameters.best_of ?? choices
  const logprobs = parameters.logprobs ?? null
  const maxTokens = parameters.max_tokens ?? defaultMaxTokens
  return {
    ...streamingOf(parameters),
    textsToModerate: prompts.flatMap((prompt, index) =>
      prompt.type === 'text' ? [{ param: prompts.length > 1 ? `prompt[${index}]` : 'prompt', text: prompt.text }] : [],
    ),
    candidates,
    choices,
    withLogprobs: logprobs !== null,
    requests: requestsFor(prompts, candidates, {
      maxTokens,
      sampling: samplingOf(parameters, maxTokens, model),
      stop: parameters.stop ?? [],
      ignoreEos: parameters.ignore_eos ?? false,
      logprobs: candidates > choices ? (logprobs ?? 0) : logprobs,
      echo: parameters.echo ?? false,
    }),
  }
}

/** OpenAI's `prompt`: a text, token ids, or an array of texts or of arrays of token ids. */
function readPrompts(value: unknown, model: ModelRegistration): readonly Prompt[] {
  if (value === undefined || value === null) throw apiError('missing_parameter', "Missing required parameter: 'prompt'.", { param: 'prompt' })
  if (typeof value === 'string') return [textPrompt(value, 'prompt')]
  if (!Array.isArray(value)) throw invalidPrompt('prompt', 'it must be a string, an array of strings, or one or several arrays of token ids')
  const prompts: readonly unknown[] = value
  const [first] = prompts
  if (first === undefined) throw invalidPrompt('prompt', 'it must not be empty')
  if (typeof first === 'number') return [tokenPrompt(prompts, 'prompt', model)]
  if (prompts.length > maximumTexts) throw invalidPrompt('prompt', `it may hold ${maximumTexts} prompts at most`)
  return prompts.map((prompt, index) => {
    const param = `prompt[${index}]`
    if (typeof prompt === 'string' && typeof first === 'string') return textPrompt(prompt, param)
    if (Array.isArray(prompt) && Array.isArray(first)) return tokenPrompt(prompt, param, model)
    throw invalidPrompt(param, 'every prompt must be a string, or every one an array of token ids')
  })
}

function textPrompt(text: string, param: string): Prompt {
  if (text === '') throw invalidPrompt(param, 'it must not be empty')
  return { type: 'text', text: text.toWellFormed() }
}

function tokenPrompt(tokens: readonly unknown[], param: string, model: ModelRegistration): Prompt {
  if (tokens.length === 0) throw invalidPrompt(param, 'it must not be empty')
  // Before the elements: a request may hold half a million of them.
  if (tokens.length > model.contextLength) {
    throw apiError(
      'context_length_exceeded',
      `This model's context holds ${model.contextLength} tokens, but the prompt has ${tokens.length}.`,
      { param: 'prompt' },
    )
  }
  const checked = tokens.map((token, index) => {
    if (typeof token === 'number' && Number.isInteger(token) && token >= 0 && token < model.vocabularySize) return token
    throw invalidPrompt(`${param}[${index}]`, `it must be a token id from 0 to ${model.vocabularySize - 1}`)
  })
  return { type: 'tokens', tokens: checked }
}

function invalidPrompt(param: string, requirement: string): Error {
  return apiError('invalid_parameter', `Invalid value for '${param}': ${requirement}.`, { param })
}
