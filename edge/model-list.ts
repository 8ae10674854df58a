/** The models that workers serve now, as the edge last heard from Redis, at most one second ago. */
import { apiError } from '../shared/errors.ts'
import type { ModelRegistration } from '../shared/model-registration.ts'
import { createSingleFlight } from './cache/single-flight.ts'
import type { TokenBus } from './hub/token-bus.ts'

const ttlMs = 1_000
const patienceMs = 1_000

export interface ModelList {
  /** Most recently started first. Throws `queue_unavailable` when Redis does not answer. */
  all(): Promise<readonly ModelRegistration[]>
  /** Throws `model_not_found`, or `model_unavailable` while no worker serves any model. */
  find(id: string): Promise<ModelRegistration>
}

export function createModelList(bus: Pick<TokenBus, 'models'>, now: () => number): ModelList {
  const flights = createSingleFlight<readonly ModelRegistration[]>(patienceMs)
  let latest: { readonly models: readonly ModelRegistration[]; readonly readAt: number } | undefined

  const all: ModelList['all'] = async () => {
    if (latest !== undefined && now() - latest.readAt < ttlMs) return latest.models
    return flights.run('models', async () => {
      const readAt = now()
      const models = await bus.models()
      latest = { models, readAt }
      return models
    })
  }

  return {
    all,
    async find(id) {
      const models = await all()
      const found = models.find((model) => model.id === id)
      if (found !== undefined) return found
      if (models.length === 0) throw apiError('model_unavailable', 'No model is being served at the moment. Try again later.', { param: 'model' })
      throw apiError('model_not_found', 'The model does not exist, or no worker serves it. GET /v1/models lists those that are served.', { param: 'model' })
    },
  }
}
