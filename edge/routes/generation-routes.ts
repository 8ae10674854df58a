/** POST /v1/completions and POST /v1/chat/completions: who asks, under which licence, for what; then the answer. */
import { Hono } from 'hono'
import type { Context, MiddlewareHandler } from 'hono'
import { apiError } from '../../shared/errors.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { generate } from '../generation/generate.ts'
import type { GenerationDependencies } from '../generation/generate.ts'
import { requireLicence } from '../licences.ts'
import { errorNotes } from '../middleware/error-response.ts'
import { jsonBody, limitBody } from '../middleware/json-body.ts'
import type { ModelList } from '../model-list.ts'
import type { AnswerFormat, AnswerHeader } from '../openai/answer-format.ts'
import { createChatCompletionFormat } from '../openai/chat-completion-format.ts'
import { parseChatCompletionRequest } from '../openai/chat-completion-request.ts'
import { createCompletionFormat } from '../openai/completion-format.ts'
import { parseCompletionRequest } from '../openai/completion-request.ts'
import type { ParsedRequest } from '../openai/request-fields.ts'
import { eventStreamHeaders } from '../openai/server-sent-events.ts'

export interface GenerationRouteDependencies extends GenerationDependencies {
  readonly requireKey: MiddlewareHandler<GatewayContext>
  readonly models: ModelList
}

interface ApiStyle {
  readonly parse: (body: unknown, model: ModelRegistration) => ParsedRequest
  readonly createFormat: (header: AnswerHeader) => AnswerFormat
}

const completions: ApiStyle = { parse: parseCompletionRequest, createFormat: createCompletionFormat }
const chatCompletions: ApiStyle = { parse: parseChatCompletionRequest, createFormat: createChatCompletionFormat }

/** To be mounted at /v1. */
export function generationRoutes(dependencies: GenerationRouteDependencies): Hono<GatewayContext> {
  const answerIn = (style: ApiStyle) => (c: Context<GatewayContext>) => answer(c, dependencies, style)
  return new Hono<GatewayContext>()
    .post('/completions', dependencies.requireKey, limitBody(), jsonBody(), answerIn(completions))
    .post('/chat/completions', dependencies.requireKey, limitBody(), jsonBody(), answerIn(chatCompletions))
}

async function answer(c: Context<GatewayContext>, dependencies: GenerationRouteDependencies, style: ApiStyle): Promise<Response> {
  const key = c.get('key')
  const record = c.get('record')
  const body = c.get('body')
  const model = await dependencies.models.find(modelId(body))
  record.note({ model: model.id })
  const acceptance = await requireLicence(key, model)
  const parsed = style.parse(body, model)

  const generated = await generate(dependencies, {
    key,
    model,
    acceptance,
    parsed,
    createFormat: style.createFormat,
    trace: c.get('requestId'),
    signal: c.get('clientSignal'),
  })
  if (generated.type === 'whole') return c.json(generated.body)
  record.note({ stream: true })
  const writeLine = record.hold()
  const stream = generated.open((error) => {
    if (error !== undefined) record.note(errorNotes(error))
    writeLine()
  })
  return c.body(stream, 200, eventStreamHeaders)
}

/** The licence depends on the model, so its name is read before the rest of the request is checked. */
function modelId(body: unknown): string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw apiError('invalid_parameter', 'The request body must be a JSON object.')
  }
  const model = 'model' in body ? body.model : undefined
  if (model === undefined || model === null) throw apiError('missing_parameter', "Missing required parameter: 'model'.", { param: 'model' })
  if (typeof model !== 'string') throw apiError('invalid_parameter', "Invalid value for 'model': expected string.", { param: 'model' })
  return model
}
