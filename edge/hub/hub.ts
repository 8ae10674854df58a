/**
 * The hub: a Durable Object that holds one shard's two connections to Redis for as long as it lives, so that requests
 * do not each open their own. Workers reach it through hub-token-bus.ts and nothing else does. A client's leaving gets
 * here as an aborted request and as a cancelled body, in either order; both do the same, once. An evicted object takes
 * its streams with it: their bodies break before a terminal line, and the next request builds everything anew.
 */
import { DurableObject } from 'cloudflare:workers'
import * as z from 'zod'
import { ApiError, apiError, errorBody } from '../../shared/errors.ts'
import { jobSchema } from '../../shared/job.ts'
import { connectWorkerd } from './connect-workerd.ts'
import { createHubCore } from './hub-core.ts'
import type { HubCore } from './hub-core.ts'
import { parseRedisAddress } from './redis-address.ts'

export interface HubEnvironment {
  /** `redis[s]://[user:password@]host[:port][/database]` */
  readonly REDIS_URL: string
}

const queuedJobSchema = jobSchema.pick({ id: true, model: true, class: true })
const cancelSchema = z.object({ id: jobSchema.shape.id, reason: z.string().max(128) })

export class Hub extends DurableObject<HubEnvironment> {
  #core: HubCore | undefined

  /**
   * `POST /submit?id=&model=&class=` with the job's JSON answers with its result lines; `POST /cancel?id=&reason=`,
   * `GET /models` and `GET /ping` as `TokenBus` has them. Errors are OpenAI error bodies.
   */
  override async fetch(request: Request): Promise<Response> {
    try {
      return await this.#answer(request, new URL(request.url))
    } catch (error) {
      // The Worker gets the code alone; why Redis can not be reached is for the operator.
      if (!request.signal.aborted) console.log(JSON.stringify({ level: 'error', event: 'hub_failed', message: reasonOf(error) }))
      return Response.json(errorBody(error), { status: error instanceof ApiError ? error.status : 500 })
    }
  }

  async #answer(request: Request, url: URL): Promise<Response> {
    this.#core ??= this.#createCore()
    const parameters = Object.fromEntries(url.searchParams)
    switch (url.pathname) {
      case '/submit': {
        const job = queuedJobSchema.parse(parameters)
        return new Response(await this.#core.submit({ ...job, text: await request.text() }, request.signal))
      }
      case '/cancel': {
        const { id, reason } = cancelSchema.parse(parameters)
        await this.#core.cancel(id, reason)
        return new Response(null, { status: 204 })
      }
      case '/models':
        return Response.json(await this.#core.models())
      case '/ping':
        await this.#core.ping()
        return new Response(null, { status: 204 })
      default:
        throw apiError('not_found', 'The hub has no such operation.')
    }
  }

  #createCore(): HubCore {
    const address = parseRedisAddress(this.env.REDIS_URL ?? '')
    return createHubCore({ connect: connectWorkerd(address), address, shard: this.ctx.id.toString() })
  }
}

/** Messages in the hub name no prompt and no password: it parses no job, and redis-connection.ts quotes nothing. */
function reasonOf(error: unknown): string {
  const cause = error instanceof ApiError && error.cause !== undefined ? error.cause : error
  return cause instanceof Error ? cause.message : 'unknown'
}
