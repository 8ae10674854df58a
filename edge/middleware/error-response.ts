/** The one path from a thrown value to a response. Everything that refuses a request throws, and ends here. */
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { ApiError, apiError, errorBody, errorKinds } from '../../shared/errors.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { describeFault } from './request-log.ts'
import type { RequestNotes } from './request-log.ts'

export function errorResponse(thrown: unknown, c: Context<GatewayContext>): Response {
  // A call that the client's leaving broke off may fail in any way.
  const error = c.get('clientSignal').aborted ? apiError('cancelled', 'The client closed the request.') : thrown
  const body = errorBody(error)
  c.get('record').note(errorNotes(error))
  const headers = error instanceof ApiError ? error.headers : {}
  return c.json(body, errorKinds[body.error.code].status as ContentfulStatusCode, { ...headers })
}

/** What the request's log line says of an error: its code and, when the fault is ours, where it happened. */
export function errorNotes(thrown: unknown): RequestNotes {
  const { code } = errorBody(thrown).error
  return errorKinds[code].status >= 500 ? { code, fault: describeFault(thrown) } : { code }
}

export function notFoundResponse(c: Context<GatewayContext>): Response {
  return errorResponse(apiError('not_found', 'There is nothing at this path.'), c)
}

export function methodNotAllowedResponse(c: Context<GatewayContext>, methods: readonly string[]): Response {
  const allow = methods.join(', ')
  return errorResponse(apiError('method_not_allowed', `This path answers to ${allow} only.`, { headers: { allow } }), c)
}
