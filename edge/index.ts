/** The Worker: builds the app once per isolate from its bindings, and hands it every request. */
import type { Hono } from 'hono'
import { defaultPolicy } from '../safety/policy.ts'
import { apiError } from '../shared/errors.ts'
import { createGrantSigner } from '../shared/grant.ts'
import type { GrantContent, GrantKey } from '../shared/grant.ts'
import { createApp, createRefusingApp } from './app.ts'
import { ConfigurationError, readSettings } from './environment.ts'
import type { Bindings } from './environment.ts'
import type { GatewayContext } from './gateway-context.ts'
import { createHubTokenBus } from './hub/hub-token-bus.ts'
import { createD1KeyStore } from './keys/d1-key-store.ts'

export { Hub } from './hub/hub.ts'

const commitAfterMs = 10_000
const keepAliveMs = 15_000

/** The runtime hands every request of an isolate the same bindings object. */
const apps = new WeakMap<Bindings, Hono<GatewayContext>>()

export default {
  fetch(request: Request, bindings: Bindings): Response | Promise<Response> {
    const app = apps.get(bindings) ?? buildApp(bindings)
    apps.set(bindings, app)
    return app.fetch(request)
  },
}

function buildApp(bindings: Bindings): Hono<GatewayContext> {
  const now = (): number => Date.now()
  const writeLog = (line: object): void => console.log(JSON.stringify(line))
  try {
    const settings = readSettings(bindings)
    return createApp({
      bus: createHubTokenBus(bindings.HUB, settings.HUB_SHARDS),
      keyStore: createD1KeyStore(bindings.DB),
      signGrant: grantSigner(settings.GRANT_PRIVATE_KEY),
      policy: defaultPolicy,
      adminToken: settings.ADMIN_TOKEN,
      allowedOrigins: settings.ALLOWED_ORIGINS,
      timing: { jobDeadlineMs: settings.JOB_DEADLINE_SECONDS * 1_000, commitAfterMs, keepAliveMs },
      now,
      writeLog,
    })
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    writeLog({ level: 'error', event: 'misconfigured', message: error.message })
    return createRefusingApp(misconfigured(), { now, writeLog })
  }
}

/** Keeps the imported key, not the promise of it: a promise belongs to the request that made it and may die with it. */
function grantSigner(key: GrantKey): (content: GrantContent) => Promise<string> {
  let sign: Awaited<ReturnType<typeof createGrantSigner>> | undefined
  return async (content) => {
    try {
      sign ??= await createGrantSigner(key)
    } catch (cause) {
      throw misconfigured(cause)
    }
    return sign(content)
  }
}

function misconfigured(cause?: unknown): Error {
  return apiError('gateway_misconfigured', 'This gateway is not configured correctly. Its log says what is missing.', { cause })
}
