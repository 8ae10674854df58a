/** What a request carries with it through the app, each set by the middleware named beside it. */
import type { ResearchKey } from './keys/key-store.ts'
import type { RequestRecord } from './middleware/request-log.ts'

export interface GatewayContext {
  Variables: {
    /** hono's request-id. */
    requestId: string
    /** request-log: the one line that this request leaves behind. */
    record: RequestRecord
    /** client-signal: aborts when the client goes away. */
    clientSignal: AbortSignal
    /** authenticate. */
    key: ResearchKey
    /** json-body. */
    body: unknown
  }
}
