/**
 * One structured line per request, written when its response is complete: a stream's line waits for the stream's end.
 * It holds ids, codes and times; never a prompt, an output, a key, or a path that the client made up.
 */
import type { MiddlewareHandler } from 'hono'
import { routePath } from 'hono/route'
import type { GatewayContext } from '../gateway-context.ts'

export interface RequestLine {
  readonly level: 'info' | 'error'
  readonly event: 'request'
  readonly requestId: string
  readonly method: string
  /** The pattern that matched, such as `/v1/models/:id`, or null. */
  readonly route: string | null
  readonly status: number
  readonly ms: number
  readonly keyId?: string
  readonly model?: string
  readonly stream?: boolean
  readonly code?: string
  readonly fault?: Fault
}

/** What an operator needs to find a fault: names and places in the code, no message that could hold a client's text. */
export interface Fault {
  readonly name: string
  readonly at: readonly string[]
  readonly message?: string
  readonly cause?: Fault
}

export type RequestNotes = Pick<RequestLine, 'keyId' | 'model' | 'stream' | 'code' | 'fault'>

export interface RequestRecord {
  note(notes: RequestNotes): void
  /** The response goes on after its handler has returned; whoever ends it calls the returned function. */
  hold(): () => void
}

export function requestLog(options: { readonly now: () => number; readonly write: (line: RequestLine) => void }): MiddlewareHandler<GatewayContext> {
  return async function logRequest(c, next) {
    const startedAt = options.now()
    let notes: RequestNotes = {}
    let held = false
    const write = (): void =>
      options.write({
        level: c.res.status >= 500 || notes.fault !== undefined ? 'error' : 'info',
        event: 'request',
        requestId: c.get('requestId'),
        method: c.req.method,
        route: lastRoute(routePath(c, -1)),
        status: c.res.status,
        ms: options.now() - startedAt,
        ...notes,
      })
    c.set('record', {
      note: (more) => {
        notes = { ...notes, ...more }
      },
      hold: () => {
        held = true
        return write
      },
    })
    await next()
    if (!held) write()
  }
}

/** The middleware of the whole app is registered under a wildcard, which is then the last that matched. */
function lastRoute(pattern: string): string | null {
  return pattern.endsWith('*') ? null : pattern
}

export function describeFault(thrown: unknown): Fault {
  if (!(thrown instanceof Error)) return { name: typeof thrown, at: [] }
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return {
    name: thrown.name,
    at: frames.slice(0, 6).map((line) => line.trim()),
    // D1 names the table or the limit, and repeats no value.
    ...(thrown.message.startsWith('D1_') ? { message: thrown.message } : {}),
    ...(thrown.cause === undefined ? {} : { cause: describeFault(thrown.cause) }),
  }
}
