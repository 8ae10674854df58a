/**
 * Tells the edge that a model is served, for as long as this worker lives: the registration expires unless a worker
 * renews it. Any number of workers may serve one model; each writes its own registration over that of the others.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { ModelRegistration } from '../shared/model-registration.ts'
import { modelKey, modelsKey, modelTtlSeconds } from '../shared/redis-keys.ts'
import { persist } from './queue/redis-connection.ts'

const renewMs = 10_000
/** Longer than `renewMs`: when this worker goes, the others renew before the model vanishes from the list. */
const farewellTtlSeconds = 15

export interface ModelRegistrar {
  /** Lets the registration expire soon. */
  stop(): Promise<void>
}

/** Resolves once the model is registered, which takes as long as Redis is away. */
export async function registerModel(redis: Redis, registration: ModelRegistration, log: Logger): Promise<ModelRegistrar> {
  const { id } = registration
  const register = async (): Promise<void> => {
    await persist(() => redis.set(modelKey(id), JSON.stringify(registration), 'EX', modelTtlSeconds))
    await persist(() => redis.sadd(modelsKey, id))
  }
  await register()

  const stopping = new AbortController()
  async function renew(): Promise<void> {
    for (;;) {
      await delay(renewMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return
      await register().catch((error: unknown) => log.warn({ err: error }, 'The model could not be registered'))
    }
  }
  const renewing = renew()
  return {
    async stop() {
      stopping.abort()
      await renewing
      await redis.expire(modelKey(id), farewellTtlSeconds)
    },
  }
}
