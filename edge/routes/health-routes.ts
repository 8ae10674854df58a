/** For load balancers and supervisors: /healthz says that the process answers, /readyz that a request could be served. */
import { Hono } from 'hono'
import { apiError } from '../../shared/errors.ts'
import type { GatewayContext } from '../gateway-context.ts'
import type { TokenBus } from '../hub/token-bus.ts'
import type { ModelList } from '../model-list.ts'

export function healthRoutes({ bus, models }: { readonly bus: TokenBus; readonly models: ModelList }): Hono<GatewayContext> {
  return new Hono<GatewayContext>()
    .get('/healthz', (c) => c.json({ status: 'ok' }))
    .get('/readyz', async (c) => {
      await bus.ping()
      if ((await models.all()).length === 0) throw apiError('model_unavailable', 'Not ready: no worker has registered a model.')
      return c.json({ status: 'ready' })
    })
}
