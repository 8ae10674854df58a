/** Requires a research key as bearer token (RFC 6750) and finds what is known of it. */
import type { MiddlewareHandler } from 'hono'
import { apiError } from '../../shared/errors.ts'
import type { ErrorCode } from '../../shared/errors.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { inspectResearchKey } from '../keys/key-format.ts'
import type { KeyLookup } from '../keys/key-lookup.ts'

export function authenticate(keys: Pick<KeyLookup, 'find'>, now: () => number): MiddlewareHandler<GatewayContext> {
  return async function requireKey(c, next) {
    const text = bearerToken(c.req.header('authorization'))
    if (text === undefined) {
      throw refusal('missing_api_key', 'No API key was given. Send your research key in the header "Authorization: Bearer pg-research-…".')
    }
    const form = inspectResearchKey(text)
    if (form === 'not-a-key') throw refusal('invalid_api_key', 'This is not a research key: those begin with "pg-research-" and have 61 characters.')
    if (form === 'mistyped') throw refusal('invalid_api_key', 'This research key looks mistyped or cut off: its checksum does not fit.')
    const key = await keys.find(text)
    if (key === undefined) throw refusal('invalid_api_key', 'This research key is not known here.')
    c.get('record').note({ keyId: key.id })
    if (key.revokedAt !== null) throw refusal('revoked_api_key', 'This research key has been revoked.')
    if (key.expiresAt !== null && key.expiresAt.getTime() <= now()) throw refusal('expired_api_key', 'This research key has expired.')
    c.set('key', key)
    await next()
  }
}

/** The token of an Authorization header of scheme Bearer; undefined when there is none. */
export function bearerToken(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^bearer +(\S+) *$/i.exec(header)?.[1]
}

function refusal(code: ErrorCode, message: string): Error {
  return apiError(code, message, { headers: { 'www-authenticate': 'Bearer realm="phigate"' } })
}
