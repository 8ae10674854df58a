/** What vitest.config.ts gives to the tests that run inside workerd. */
import type { D1Migration } from '@cloudflare/vitest-plugin'
import type { Bindings } from '../environment.ts'

declare global {
  namespace Cloudflare {
    interface Env extends Bindings {
      readonly REDIS_URL: string
      readonly ADMIN_TOKEN: string
      readonly MIGRATIONS: D1Migration[]
    }
  }
}

declare module 'vitest' {
  interface ProvidedContext {
    readonly redisUrl: string
  }
}
