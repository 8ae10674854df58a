/** Which licence a model asks for, and whether a key has accepted its current text. */
import { apiError } from '../shared/errors.ts'
import { licenceProfile, licenceVersion } from '../shared/licence-profiles.ts'
import type { LicenceProfileId } from '../shared/licence-profiles.ts'
import type { ModelRegistration } from '../shared/model-registration.ts'
import type { LicenceAcceptance, ResearchKey } from './keys/key-store.ts'

const versions = new Map<LicenceProfileId, string>()

/** The version of the profile's text as it is now; profiles are constants, so it is hashed once in an isolate. */
export async function currentLicenceVersion(id: LicenceProfileId): Promise<string> {
  const version = versions.get(id) ?? (await licenceVersion(licenceProfile(id)))
  versions.set(id, version)
  return version
}

export async function findAcceptance(key: ResearchKey, profile: LicenceProfileId): Promise<LicenceAcceptance | undefined> {
  const version = await currentLicenceVersion(profile)
  return key.acceptances.find((acceptance) => acceptance.profile === profile && acceptance.version === version)
}

/** The acceptance under which the key may use the model. Throws `licence_required`, which says how to come by one. */
export async function requireLicence(key: ResearchKey, model: ModelRegistration): Promise<LicenceAcceptance> {
  const acceptance = await findAcceptance(key, model.licence)
  if (acceptance !== undefined) return acceptance
  const { name } = licenceProfile(model.licence)
  const outdated = key.acceptances.some((one) => one.profile === model.licence)
  throw apiError(
    'licence_required',
    `The model ${model.id} is served under the licence profile "${model.licence}" (${name}), ` +
      `${outdated ? 'whose text has changed since it was accepted for this key' : 'which has not been accepted for this key'}. ` +
      `Read the text at GET /v1/licences, then ask the administrator of this gateway to record your acceptance ` +
      `for the key ${key.id}.`,
    { param: 'model' },
  )
}
