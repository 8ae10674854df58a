/** Checks a request to /v1/chat/completions and turns its messages into a prompt that the model was trained to answer. */
import * as z from 'zod'
import { maximumTopLogprobs } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { chatStopSequences, renderChatPrompt } from '../chat-prompt.ts'
import { checkStreamOptions, isEmptyList, isEmptyObject, onlyNeutral, requestsFor, samplingOf, sharedFields, streamingOf, textSchema } from './request-fields.ts'
import type { ParsedRequest } from './request-fields.ts'
import { parseParameters, unsupportedIssue } from './validation.ts'

const noTools = 'The model can not call tools.'
const textOnly = 'The model reads and writes text only.'

const contentPartSchema = z.strictObject({
  type: z.string().superRefine((type, context) => {
    if (type !== 'text') context.addIssue(unsupportedIssue(`${textOnly} Send parts of type "text".`))
  }),
  text: textSchema,
})

const messageSchema = z.strictObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']).transform((role, context) => {
    if (role !== 'tool' && role !== 'function') return role
    context.addIssue(unsupportedIssue(noTools))
    return z.NEVER
  }),
  content: z
    .preprocess(
      (content) => (typeof content === 'string' ? [{ type: 'text', text: content }] : content),
      z.array(contentPartSchema, 'must be a string or an array of text parts').min(1, 'must not be an empty array'),
    )
    .transform((parts) => parts.map((part) => part.text).join('\n')),
  name: onlyNeutral('Names of participants are not shown to the model; put them into the content.', (value) => value === ''),
  // An assistant message of an earlier answer may be sent back as it came.
  refusal: onlyNeutral('Refusals are not shown to the model; put the text into the content.'),
  annotations: onlyNeutral(textOnly, isEmptyList),
  audio: onlyNeutral(textOnly),
  tool_calls: onlyNeutral(noTools, isEmptyList),
  function_call: onlyNeutral(noTools),
})

const chatCompletionSchema = z
  .strictObject({
    ...sharedFields,
    messages: z.array(messageSchema).min(1, 'must not be an empty array'),
    max_tokens: z.int().min(1).nullish(),
    max_completion_tokens: z.int().min(1).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(maximumTopLogprobs).nullish(),
    safety_identifier: z.string().nullish(),
    response_format: z
      .strictObject({
        type: z.string().superRefine((type, context) => {
          if (type !== 'text') context.addIssue(unsupportedIssue('The output can not be forced into a format; only "text" is offered.'))
        }),
        json_schema: onlyNeutral('The output can not be forced into a format; only "text" is offered.'),
      })
      .nullish(),
    tools: onlyNeutral(noTools, isEmptyList),
    tool_choice: onlyNeutral(noTools, (value) => value === 'none'),
    parallel_tool_calls: onlyNeutral(noTools),
    functions: onlyNeutral(noTools, isEmptyList),
    function_call: onlyNeutral(noTools, (value) => value === 'none'),
    modalities: onlyNeutral(textOnly, (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text'),
    audio: onlyNeutral(textOnly),
    web_search_options: onlyNeutral('The model can not search the web.'),
    prediction: onlyNeutral('Predicted outputs are not offered by this gateway.'),
    reasoning_effort: onlyNeutral('The model has no adjustable reasoning effort.', (value) => value === 'none'),
    verbosity: onlyNeutral('The model has no adjustable verbosity.', (value) => value === 'medium'),
    store: onlyNeutral('This gateway does not store completions.', (value) => value === false),
    metadata: onlyNeutral('This gateway does not store completions.', isEmptyObject),
    service_tier: onlyNeutral('This gateway has one service tier.', (value) => value === 'auto' || value === 'default'),
    moderation: onlyNeutral('The policy of this gateway applies to every request and can not be chosen by one.'),
    prompt_cache_key: onlyNeutral('Prompt caching can not be steered.'),
    prompt_cache_retention: onlyNeutral('Prompt caching can not be steered.'),
    prompt_cache_options: onlyNeutral('Prompt caching can not be steered.'),
  })
  .superRefine(checkStreamOptions)
  .superRefine((parameters, context) => {
    if (parameters.top_logprobs != null && parameters.logprobs !== true) {
      context.addIssue({ code: 'custom', path: ['top_logprobs'], message: 'it is only allowed when logprobs is true' })
    }
    if (parameters.max_tokens != null && parameters.max_completion_tokens != null) {
      context.addIssue({ code: 'custom', path: ['max_tokens'], message: 'give either max_tokens or max_completion_tokens, not both' })
    }
  })

export function parseChatCompletionRequest(body: unknown, model: ModelRegistration): ParsedRequest {
  const parameters = parseParameters(chatCompletionSchema, body)
  const prompt = renderChatPrompt(parameters.messages)
  const choices = parameters.n ?? 1
  const maxTokens = parameters.max_completion_tokens ?? parameters.max_tokens ?? null
  return {
    ...streamingOf(parameters),
    // Each message alone and all of them together, as a text may be spread over several messages.
    textsToModerate: [
      ...parameters.messages.map(({ content }, index) => ({ param: `messages[${index}].content`, text: content })),
      { param: 'messages', text: prompt },
    ],
    candidates: choices,
    choices,
    withLogprobs: parameters.logprobs === true,
    requests: requestsFor([{ type: 'text', text: prompt }], choices, {
      maxTokens,
      sampling: samplingOf(parameters, maxTokens, model),
      stop: [...(parameters.stop ?? []), ...chatStopSequences],
      ignoreEos: parameters.ignore_eos ?? false,
      logprobs: parameters.logprobs === true ? (parameters.top_logprobs ?? 0) : null,
      echo: false,
    }),
  }
}
