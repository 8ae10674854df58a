/** The token bus of the Worker: requests to the hub objects, one shard per job, and lines decoded into entries. */
import * as z from 'zod'
import { apiError, errorCodes } from '../../shared/errors.ts'
import type { ApiError } from '../../shared/errors.ts'
import { modelRegistrationSchema } from '../../shared/model-registration.ts'
import { entriesFromLines, queueUnavailable } from './entry-lines.ts'
import type { TokenBus } from './token-bus.ts'

/** What it needs of the `DurableObjectNamespace` of hub.ts. */
export interface HubNamespace {
  getByName(name: string): { fetch(url: string, init?: RequestInit): Promise<Response> }
}

/** `shards` objects share the jobs; changing it strands no job, for results are read by the object that queued them. */
export function createHubTokenBus(namespace: HubNamespace, shards: number): TokenBus {
  /** `onLost` is called when the object did not answer, so that nobody knows what it did. */
  async function ask(shard: number, path: string, init?: RequestInit, onLost = (): void => {}): Promise<Response> {
    let response: Response
    try {
      response = await namespace.getByName(`hub-${shard}`).fetch(`https://hub${path}`, init)
    } catch (error) {
      onLost()
      init?.signal?.throwIfAborted()
      throw queueUnavailable(error)
    }
    if (!response.ok) throw await errorOf(response)
    return response
  }

  const cancel: TokenBus['cancel'] = async (jobId, reason) => {
    await ask(shardOf(jobId, shards), `/cancel?${new URLSearchParams({ id: jobId, reason })}`, { method: 'POST' })
  }

  return {
    async submit(job, signal) {
      signal.throwIfAborted()
      /** The object died and took the knowledge of the job with it; a new one can still have it cancelled. */
      const cancelOrphan = (): void => void cancel(job.id, 'hub_lost').catch(() => {})
      const query = new URLSearchParams({ id: job.id, model: job.model, class: job.class })
      const response = await ask(shardOf(job.id, shards), `/submit?${query}`, { method: 'POST', body: JSON.stringify(job), signal }, cancelOrphan)
      if (response.body === null) throw queueUnavailable()
      return entriesFromLines(response.body, { signal, onBroken: cancelOrphan })
    },
    cancel,
    async models() {
      return z.array(modelRegistrationSchema).parse(await (await ask(0, '/models')).json())
    },
    async ping() {
      await ask(0, '/ping')
    },
  }
}

const errorBodySchema = z.object({ error: z.object({ code: z.enum(errorCodes), message: z.string() }) })

async function errorOf(response: Response): Promise<ApiError> {
  const parsed = errorBodySchema.safeParse(await response.json().catch(() => undefined))
  return parsed.success ? apiError(parsed.data.error.code, parsed.data.error.message) : apiError('internal_error', 'The hub failed.')
}

/** FNV-1a over the id's characters (http://www.isthe.com/chongo/tech/comp/fnv/): the same shard in every Worker. */
function shardOf(jobId: string, shards: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < jobId.length; i++) hash = Math.imul(hash ^ jobId.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % shards
}
