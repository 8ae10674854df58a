/**
 * Keeps the signal of the request as the runtime made it. Later middleware may put a new Request in its place
 * (body-limit does for chunked bodies), and whether the signal survives that is up to the runtime.
 */
import type { MiddlewareHandler } from 'hono'
import type { GatewayContext } from '../gateway-context.ts'

export function clientSignal(): MiddlewareHandler<GatewayContext> {
  return async function keepClientSignal(c, next) {
    c.set('clientSignal', c.req.raw.signal)
    await next()
  }
}
