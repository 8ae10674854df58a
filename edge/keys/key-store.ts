/**
 * What the edge remembers of research keys and of the licences accepted for them. The store knows hashes only; a key's
 * text exists in the answer to its creation and nowhere else.
 */
import type { LicenceProfileId } from '../../shared/licence-profiles.ts'

export interface LicenceAcceptance {
  readonly id: string
  readonly profile: LicenceProfileId
  /** The version of the profile's text that was accepted (licence-profiles.ts). */
  readonly version: string
  readonly acceptedBy: string
  readonly purpose: string
  readonly institution: string
  readonly acceptedAt: Date
}

export interface ResearchKey {
  readonly id: string
  readonly label: string
  readonly owner: string
  readonly institution: string
  readonly purpose: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
  readonly acceptances: readonly LicenceAcceptance[]
}

export type NewResearchKey = Pick<ResearchKey, 'label' | 'owner' | 'institution' | 'purpose' | 'expiresAt'> & { readonly hash: string }
export type NewLicenceAcceptance = Pick<LicenceAcceptance, 'profile' | 'version' | 'acceptedBy' | 'purpose' | 'institution'>

/** Every function throws `database_unavailable` when the database does not answer or does not know the tables. */
export interface KeyStore {
  create(key: NewResearchKey, now: Date): Promise<ResearchKey>
  findByHash(hash: string): Promise<ResearchKey | undefined>
  /** Newest first. */
  list(): Promise<readonly ResearchKey[]>
  /** Revokes from now on; a key that is revoked already keeps its first date. Undefined when there is no such key. */
  revoke(id: string, now: Date): Promise<ResearchKey | undefined>
  /** Records the acceptance once per profile and version; `added` is false when it was there. Undefined without such a key. */
  accept(
    id: string,
    acceptance: NewLicenceAcceptance,
    now: Date,
  ): Promise<{ readonly acceptance: LicenceAcceptance; readonly added: boolean } | undefined>
}
