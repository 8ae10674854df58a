/**
 * Every error that a client of the API can be shown: its code, HTTP status and type, in one table. A part that refuses
 * something throws `apiError(code, message)`; the edge turns it into OpenAI's error body in one place. Causes, stack
 * traces and prompt text never go into a message.
 */

export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'rate_limit_error'
  | 'server_error'

interface ErrorKind {
  readonly status: number
  readonly type: ErrorType
}

export const errorKinds = {
  invalid_json: { status: 400, type: 'invalid_request_error' },
  invalid_parameter: { status: 400, type: 'invalid_request_error' },
  missing_parameter: { status: 400, type: 'invalid_request_error' },
  unknown_parameter: { status: 400, type: 'invalid_request_error' },
  unsupported_parameter: { status: 400, type: 'invalid_request_error' },
  context_length_exceeded: { status: 400, type: 'invalid_request_error' },
  content_filter: { status: 400, type: 'invalid_request_error' },
  missing_api_key: { status: 401, type: 'authentication_error' },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  revoked_api_key: { status: 401, type: 'authentication_error' },
  expired_api_key: { status: 401, type: 'authentication_error' },
  invalid_admin_token: { status: 401, type: 'authentication_error' },
  licence_required: { status: 403, type: 'permission_error' },
  grant_refused: { status: 403, type: 'permission_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  not_found: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  conflict: { status: 409, type: 'invalid_request_error' },
  request_too_large: { status: 413, type: 'invalid_request_error' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error' },
  cancelled: { status: 499, type: 'invalid_request_error' },
  internal_error: { status: 500, type: 'server_error' },
  gateway_misconfigured: { status: 500, type: 'server_error' },
  generation_failed: { status: 500, type: 'server_error' },
  worker_lost: { status: 502, type: 'server_error' },
  queue_unavailable: { status: 503, type: 'server_error' },
  database_unavailable: { status: 503, type: 'server_error' },
  model_unavailable: { status: 503, type: 'server_error' },
  deadline_exceeded: { status: 504, type: 'server_error' },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof errorKinds

export const errorCodes = Object.keys(errorKinds) as [ErrorCode, ...ErrorCode[]]

/** An error whose code and message may be shown to the client as they are. Anything else becomes `internal_error`. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: ErrorCode
  /** The request field at fault, as OpenAI's `param`: `messages[0].content`, or null. */
  readonly param: string | null
  /** Extra response headers, such as `allow` or `retry-after`. */
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, message: string, options: { param?: string; headers?: Record<string, string>; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.param = options.param ?? null
    this.headers = options.headers ?? {}
  }

  get status(): number {
    return errorKinds[this.code].status
  }

  get type(): ErrorType {
    return errorKinds[this.code].type
  }
}

/** Makes an `ApiError`; reads well after `throw`. */
export function apiError(...parts: ConstructorParameters<typeof ApiError>): ApiError {
  return new ApiError(...parts)
}

export interface ErrorBody {
  readonly error: { readonly message: string; readonly type: ErrorType; readonly param: string | null; readonly code: ErrorCode }
}

/** OpenAI's error body for any thrown value. A value that is not an `ApiError` shows nothing of itself. */
export function errorBody(thrown: unknown): ErrorBody {
  const error =
    thrown instanceof ApiError
      ? thrown
      : apiError('internal_error', 'Something went wrong on our side. Quote the x-request-id of this response when you report it.')
  return { error: { message: error.message, type: error.type, param: error.param, code: error.code } }
}
