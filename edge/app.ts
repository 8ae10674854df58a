/**
 * The gateway as a hono app. All that it needs from outside comes in as `Dependencies`, so the same app runs in workerd
 * behind the hub and in a test over another bus. It keeps its caches between requests: make one per isolate.
 */
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import { secureHeaders } from 'hono/secure-headers'
import { createId } from '../shared/ids.ts'
import { adminKeyRoutes } from './admin/key-routes.ts'
import type { GatewayContext } from './gateway-context.ts'
import type { GenerationDependencies } from './generation/generate.ts'
import { createKeyLookup } from './keys/key-lookup.ts'
import type { KeyStore } from './keys/key-store.ts'
import { authenticate } from './middleware/authenticate.ts'
import { clientSignal } from './middleware/client-signal.ts'
import { errorResponse, methodNotAllowedResponse, notFoundResponse } from './middleware/error-response.ts'
import { requestLog } from './middleware/request-log.ts'
import type { RequestLine } from './middleware/request-log.ts'
import { createModelList } from './model-list.ts'
import { generationRoutes } from './routes/generation-routes.ts'
import { healthRoutes } from './routes/health-routes.ts'
import { modelRoutes } from './routes/model-routes.ts'

export interface Dependencies extends GenerationDependencies {
  readonly keyStore: KeyStore
  /** Without one there is no admin API. */
  readonly adminToken: string | undefined
  /** Origins whose pages may call the API from a browser; none by default. */
  readonly allowedOrigins: readonly string[]
  readonly writeLog: (line: RequestLine) => void
}

export function createApp(dependencies: Dependencies): Hono<GatewayContext> {
  const { bus, keyStore, adminToken, now } = dependencies
  const keys = createKeyLookup(keyStore, now)
  const models = createModelList(bus, now)
  const requireKey = authenticate(keys, now)

  const app = createBareApp(dependencies)
  app.route('/', healthRoutes({ bus, models }))
  app.route('/v1', modelRoutes({ requireKey, models }))
  app.route('/v1', generationRoutes({ ...dependencies, requireKey, models }))
  if (adminToken !== undefined) app.route('/admin/api', adminKeyRoutes({ adminToken, keyStore, keys, now }))
  return app
}

/** An app that answers every request with the error: for a gateway that must not serve as it is configured. */
export function createRefusingApp(error: Error, options: Pick<Dependencies, 'now' | 'writeLog'>): Hono<GatewayContext> {
  const app = createBareApp({ ...options, allowedOrigins: [] })
  app.all('*', () => {
    throw error
  })
  return app
}

/** What every response has in common: an id, a log line, secure headers, one shape of error. */
function createBareApp(options: Pick<Dependencies, 'now' | 'writeLog' | 'allowedOrigins'>): Hono<GatewayContext> {
  const app = new Hono<GatewayContext>()
  app.onError(errorResponse)
  app.notFound(notFoundResponse)
  app.use(requestId({ limitLength: 128, generator: () => createId('req') }))
  app.use(clientSignal())
  app.use(requestLog({ now: options.now, write: options.writeLog }))
  app.use(secureHeaders())
  if (options.allowedOrigins.length > 0) {
    app.use(cors({ origin: [...options.allowedOrigins], allowMethods: ['GET', 'POST'], exposeHeaders: ['x-request-id'], maxAge: 600 }))
  }
  app.use(methodNotAllowed({ app, onMethodNotAllowed: methodNotAllowedResponse }))
  return app
}
