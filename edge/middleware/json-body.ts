/** Reads a JSON body: its media type, its encoding, its syntax. What is in it is the routes' business. */
import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { apiError } from '../../shared/errors.ts'
import type { GatewayContext } from '../gateway-context.ts'

export const maximumBodyBytes = 1_048_576

/** Refuses longer bodies: by the declared length before reading, by counting where none is declared. */
export function limitBody(): MiddlewareHandler<GatewayContext> {
  return bodyLimit({
    maxSize: maximumBodyBytes,
    onError: () => {
      throw apiError('request_too_large', `The request body is longer than ${maximumBodyBytes} bytes.`)
    },
  })
}

export function jsonBody(): MiddlewareHandler<GatewayContext> {
  return async function readJsonBody(c, next) {
    const type = c.req.header('content-type')
    if (type !== undefined && !/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type.trim())) {
      throw apiError('unsupported_media_type', 'Send the request as JSON, with the header "Content-Type: application/json".')
    }
    if ((c.req.header('content-encoding') ?? 'identity').toLowerCase() !== 'identity') {
      throw apiError('unsupported_media_type', 'Send the request body without a content encoding.')
    }
    c.set('body', parseJson(await c.req.arrayBuffer()))
    await next()
  }
}

function parseJson(bytes: ArrayBuffer): unknown {
  // The parser's own messages quote the body.
  if (bytes.byteLength === 0) throw apiError('invalid_json', 'The request body is empty; a JSON object is expected.')
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes)) as unknown
  } catch {
    throw apiError('invalid_json', 'The request body is not valid JSON in UTF-8.')
  }
}
