/** Checks a request to /v1/completions and turns it into a generation request. */
import * as z from 'zod'
import { apiError } from '../../shared/errors.ts'
import { maximumTopLogprobs } from '../../shared/job.ts'
import type { Prompt } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { checkStreamOptions, onlyNeutral, samplingOf, sharedFields, streamingOf } from './request-fields.ts'
import type { ParsedRequest } from './request-fields.ts'
import { parseParameters, unsupportedIssue } from './validation.ts'

const defaultMaxTokens = 16

const completionSchema = z
  .strictObject({
    ...sharedFields,
    /** Checked by `readPrompt`: four shapes, and possibly a million numbers. */
    prompt: z.unknown(),
    max_tokens: z.int().min(0).nullish(),
    logprobs: z.int().min(0).max(maximumTopLogprobs).nullish(),
    echo: z.boolean().nullish(),
    best_of: z
      .int()
      .min(1)
      .superRefine((value, context) => {
        if (value > 1) context.addIssue(unsupportedIssue('best_of is not offered by this gateway; leave it at 1.'))
      })
      .nullish(),
    suffix: onlyNeutral('Insertion (suffix) is not offered by this gateway.', (value) => value === ''),
  })
  .superRefine(checkStreamOptions)

export function parseCompletionRequest(body: unknown, model: ModelRegistration): ParsedRequest {
  const parameters = parseParameters(completionSchema, body)
  const prompt = readPrompt(parameters.prompt, model)
  const maxTokens = parameters.max_tokens ?? defaultMaxTokens
  return {
    ...streamingOf(parameters),
    textsToModerate: prompt.type === 'text' ? [{ param: 'prompt', text: prompt.text }] : [],
    request: {
      prompt,
      maxTokens,
      sampling: samplingOf(parameters, maxTokens, model),
      stop: parameters.stop ?? [],
      ignoreEos: parameters.ignore_eos ?? false,
      logprobs: parameters.logprobs ?? null,
      echo: parameters.echo ?? false,
    },
  }
}

/** OpenAI's `prompt`: a text, token ids, or an array of one of those with a single element. */
function readPrompt(value: unknown, model: ModelRegistration): Prompt {
  if (value === undefined || value === null) throw apiError('missing_parameter', "Missing required parameter: 'prompt'.", { param: 'prompt' })
  if (typeof value === 'string') return textPrompt(value)
  if (!Array.isArray(value)) throw invalidPrompt('prompt', 'it must be a string, an array with one string, or an array of token ids')
  const [first] = value as unknown[]
  if (first === undefined) throw invalidPrompt('prompt', 'it must not be empty')
  if (typeof first === 'number') return tokenPrompt(value, 'prompt', model)
  if (value.length > 1) {
    throw apiError('unsupported_parameter', 'Only one prompt per request is offered; send several requests instead.', { param: 'prompt' })
  }
  if (typeof first === 'string') return textPrompt(first)
  if (Array.isArray(first)) return tokenPrompt(first, 'prompt[0]', model)
  throw invalidPrompt('prompt[0]', 'it must be a string or an array of token ids')
}

function textPrompt(text: string): Prompt {
  if (text === '') throw invalidPrompt('prompt', 'it must not be empty')
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
