/** GET /v1/models and /v1/models/{id}, where the id may hold a slash, and GET /v1/licences. */
import { Hono } from 'hono'
import type { MiddlewareHandler } from 'hono'
import { licenceProfile } from '../../shared/licence-profiles.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { currentLicenceVersion, findAcceptance } from '../licences.ts'
import type { ModelList } from '../model-list.ts'

export interface ModelRouteDependencies {
  readonly requireKey: MiddlewareHandler<GatewayContext>
  readonly models: ModelList
}

/** To be mounted at /v1. */
export function modelRoutes({ requireKey, models }: ModelRouteDependencies): Hono<GatewayContext> {
  return new Hono<GatewayContext>()
    .get('/models', requireKey, async (c) => c.json({ object: 'list', data: (await models.all()).map(modelObject) }))
    .get('/models/:id{.+}', requireKey, async (c) => c.json(modelObject(await models.find(c.req.param('id')))))
    .get('/licences', requireKey, async (c) => {
      const served = Map.groupBy(await models.all(), (model) => model.licence)
      const data = Array.from(served, async ([profile, licensed]) => {
        const { name, text } = licenceProfile(profile)
        const acceptance = await findAcceptance(c.get('key'), profile)
        return {
          object: 'licence',
          profile,
          name,
          version: await currentLicenceVersion(profile),
          text,
          models: licensed.map((model) => model.id),
          accepted: acceptance !== undefined,
          accepted_at: acceptance === undefined ? null : Math.floor(acceptance.acceptedAt.getTime() / 1_000),
        }
      })
      return c.json({ object: 'list', data: await Promise.all(data) })
    })
}

function modelObject({ id, created, ownedBy }: ModelRegistration): object {
  return { id, object: 'model', created, owned_by: ownedBy }
}
