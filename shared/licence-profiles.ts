/**
 * Licence profiles: the terms a set of weights is served under. A profile's version is the hash of its text, so that a
 * changed text asks everyone to accept again. Which profile applies belongs to the weights, not to a model's name.
 */
import * as z from 'zod'

export const licenceProfileIds = ['phigate-research', 'mit'] as const
export const licenceProfileIdSchema = z.enum(licenceProfileIds)
export type LicenceProfileId = z.infer<typeof licenceProfileIdSchema>

export interface LicenceProfile {
  readonly id: LicenceProfileId
  readonly name: string
  readonly text: string
}

const profiles: Record<LicenceProfileId, LicenceProfile> = {
  'phigate-research': {
    id: 'phigate-research',
    name: 'Research use only',
    text:
      'You use this model for non-commercial research only. You do not use its output to earn revenue, you do not offer ' +
      'the model to others as a service, and you tell readers of your work that the output is machine-made.',
  },
  mit: {
    id: 'mit',
    name: 'MIT License, research gateway',
    text:
      'The weights are under the MIT License. This gateway serves them for research only: you do not use its output to ' +
      'earn revenue, and you tell readers of your work that the output is machine-made.',
  },
}

export function licenceProfile(id: LicenceProfileId): LicenceProfile {
  return profiles[id]
}

/** The version of a profile: `sha256:` and the first 16 hexadecimal digits of the hash of its text. */
export async function licenceVersion(profile: LicenceProfile): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(profile.text)))
  return `sha256:${Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
