/** The admin API for research keys: create, list, revoke, and record that a licence was accepted. */
import { Hono } from 'hono'
import * as z from 'zod'
import { apiError } from '../../shared/errors.ts'
import { licenceProfileIdSchema } from '../../shared/licence-profiles.ts'
import type { GatewayContext } from '../gateway-context.ts'
import { createResearchKey } from '../keys/key-format.ts'
import type { KeyLookup } from '../keys/key-lookup.ts'
import type { KeyStore, LicenceAcceptance, ResearchKey } from '../keys/key-store.ts'
import { secretHash } from '../keys/secret-hash.ts'
import { currentLicenceVersion } from '../licences.ts'
import { jsonBody, limitBody } from '../middleware/json-body.ts'
import { parseParameters } from '../openai/validation.ts'
import { requireAdminToken } from './admin-token.ts'

export interface AdminDependencies {
  readonly adminToken: string
  readonly keyStore: KeyStore
  /** Cleared after each change, so that it holds at once in this isolate and within ten seconds elsewhere. */
  readonly keys: Pick<KeyLookup, 'clear'>
  readonly now: () => number
}

const lineSchema = z.string().trim().min(1, 'must not be empty').max(200)
const purposeSchema = z.string().trim().min(1, 'must not be empty').max(2_000)

const newKeySchema = z.strictObject({
  label: lineSchema,
  owner: lineSchema,
  institution: lineSchema,
  purpose: purposeSchema,
  /** ISO 8601 with a time zone. */
  expiresAt: z.iso
    .datetime({ offset: true, error: 'must be a time such as 2027-01-31T00:00:00Z' })
    .transform((text) => new Date(text))
    .nullish(),
})

const newAcceptanceSchema = z.strictObject({
  profile: licenceProfileIdSchema,
  acceptedBy: lineSchema,
  purpose: purposeSchema,
  institution: lineSchema,
})

/** To be mounted at /admin/api. */
export function adminKeyRoutes({ adminToken, keyStore, keys, now }: AdminDependencies): Hono<GatewayContext> {
  const requireToken = requireAdminToken(adminToken)
  return new Hono<GatewayContext>()
    .post('/keys', requireToken, limitBody(), jsonBody(), async (c) => {
      const parameters = parseParameters(newKeySchema, c.get('body'))
      const expiresAt = parameters.expiresAt ?? null
      if (expiresAt !== null && expiresAt.getTime() <= now()) {
        throw apiError('invalid_parameter', "Invalid value for 'expiresAt': must lie in the future.", { param: 'expiresAt' })
      }
      const text = createResearchKey()
      const key = await keyStore.create({ ...parameters, expiresAt, hash: await secretHash(text) }, new Date(now()))
      keys.clear()
      c.header('cache-control', 'no-store')
      return c.json({ ...keyObject(key), key: text }, 201)
    })
    .get('/keys', requireToken, async (c) => c.json({ data: (await keyStore.list()).map(keyObject) }))
    .post('/keys/:id/revoke', requireToken, async (c) => {
      const key = await keyStore.revoke(c.req.param('id'), new Date(now()))
      if (key === undefined) throw unknownKey()
      keys.clear()
      return c.json(keyObject(key))
    })
    .post('/keys/:id/licence-acceptances', requireToken, limitBody(), jsonBody(), async (c) => {
      const parameters = parseParameters(newAcceptanceSchema, c.get('body'))
      const version = await currentLicenceVersion(parameters.profile)
      const recorded = await keyStore.accept(c.req.param('id'), { ...parameters, version }, new Date(now()))
      if (recorded === undefined) throw unknownKey()
      keys.clear()
      return c.json(acceptanceObject(recorded.acceptance), recorded.added ? 201 : 200)
    })
}

function unknownKey(): Error {
  return apiError('not_found', 'There is no research key with this id.', { param: 'id' })
}

function keyObject({ acceptances, ...key }: ResearchKey): object {
  return { ...key, licenceAcceptances: acceptances.map(acceptanceObject) }
}

function acceptanceObject(acceptance: LicenceAcceptance): object {
  return { ...acceptance }
}
