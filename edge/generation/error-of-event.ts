import { apiError } from '../../shared/errors.ts'
import type { ApiError } from '../../shared/errors.ts'
import type { StreamEventOf } from '../../shared/stream-events.ts'

/** The error that a worker ended a job with, as the client is to see it. */
export function errorOfEvent({ code, message, param }: StreamEventOf<'error'>): ApiError {
  return apiError(code, message, param === null ? {} : { param })
}
