/** Requires the administrator's token. It is compared by digest, in a time that says nothing about it. */
import type { MiddlewareHandler } from 'hono'
import { apiError } from '../../shared/errors.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { secretsEqual } from '../keys/secret-hash.ts'
import { bearerToken } from '../middleware/authenticate.ts'

export function requireAdminToken(adminToken: string): MiddlewareHandler<GatewayContext> {
  return async function compareAdminToken(c, next) {
    const given = bearerToken(c.req.header('authorization'))
    if (given === undefined || !(await secretsEqual(given, adminToken))) {
      throw apiError('invalid_admin_token', 'The admin API needs the administrator\'s token as bearer token.', {
        headers: { 'www-authenticate': 'Bearer realm="phigate admin"' },
      })
    }
    await next()
  }
}
