/**
 * The grant: the edge's signed permission for one forward pass over one prompt. A compact JWS (RFC 7515) with EdDSA
 * over Ed25519 (RFC 8037). The worker holds the public key alone, so neither a worker nor anyone with access to Redis
 * can make one. A grant binds the job's id, the model and the digest of its weights, the licence under which the key
 * may use them, the prompt's hash and the limits. It does not say whether the key is still valid at a later time.
 */
import { SignJWT, errors, importJWK, jwtVerify } from 'jose'
import * as z from 'zod'
import { apiError } from './errors.ts'
import type { GenerationRequest, Job } from './job.ts'

const issuer = 'phigate'

export const grantClaimsSchema = z.object({
  iss: z.literal(issuer),
  /** Id of the research key. */
  sub: z.string(),
  /** Id of the job: a grant is good for one job only. */
  jti: z.string(),
  iat: z.int(),
  exp: z.int(),
  model: z.string(),
  weightsDigest: z.string(),
  licence: z.object({ profile: z.string(), version: z.string() }),
  purpose: z.string(),
  promptHash: z.string(),
  limits: z.object({ maxTokens: z.int().nonnegative().nullable() }),
})
export type GrantClaims = z.infer<typeof grantClaimsSchema>
export type GrantContent = Omit<GrantClaims, 'iss' | 'iat'>

/** A JSON Web Key (RFC 7517) of kind OKP / Ed25519; `d` is there in the private one alone. */
export const grantKeySchema = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  kid: z.string().min(1),
  x: z.string(),
  d: z.string().optional(),
})
export type GrantKey = z.infer<typeof grantKeySchema>

/** Clocks of edge and worker may differ by this much. */
export const clockToleranceSeconds = 30

/** Returns `sha256:<hex>` over the canonical form of the prompt. */
export async function promptHash(prompt: GenerationRequest['prompt']): Promise<string> {
  const canonical = prompt.type === 'text' ? `text:${prompt.text}` : `tokens:${prompt.tokens.join(',')}`
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(canonical))
  return `sha256:${Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

/** Imports the private key once and returns the function that signs grants with it. */
export async function createGrantSigner(key: GrantKey): Promise<(content: GrantContent) => Promise<string>> {
  const privateKey = await importJWK({ ...key }, 'EdDSA')
  return async ({ sub, jti, exp, ...rest }) =>
    new SignJWT({ ...rest })
      .setProtectedHeader({ alg: 'EdDSA', kid: key.kid })
      .setIssuer(issuer)
      .setSubject(sub)
      .setJti(jti)
      .setIssuedAt()
      .setExpirationTime(exp)
      .sign(privateKey)
}

/**
 * Imports the public key once and returns the function that checks a job's grant against the job and against the
 * digest of the weights that the worker has loaded. It throws `grant_refused` with the reason.
 */
export async function createGrantVerifier(key: GrantKey): Promise<(job: Job, loadedWeightsDigest: string) => Promise<GrantClaims>> {
  const { d: _, ...publicPart } = key
  const publicKey = await importJWK({ ...publicPart }, 'EdDSA')
  return async (job, loadedWeightsDigest) => {
    const claims = await readClaims(job.grant, publicKey)
    const mismatch =
      claims.jti !== job.id ? 'it was signed for another job'
      : claims.model !== job.model ? 'it was signed for another model'
      : claims.weightsDigest !== loadedWeightsDigest ? 'it was signed for other weights'
      : claims.promptHash !== (await promptHash(job.request.prompt)) ? 'it was signed for another prompt'
      : claims.limits.maxTokens !== job.request.maxTokens ? 'it was signed for other limits'
      : undefined
    if (mismatch !== undefined) throw apiError('grant_refused', `The grant of this job does not hold: ${mismatch}.`)
    return claims
  }
}

async function readClaims(grant: string, publicKey: Awaited<ReturnType<typeof importJWK>>): Promise<GrantClaims> {
  try {
    const { payload } = await jwtVerify(grant, publicKey, { algorithms: ['EdDSA'], issuer, clockTolerance: clockToleranceSeconds })
    return grantClaimsSchema.parse(payload)
  } catch (error) {
    const reason = error instanceof errors.JWTExpired ? 'it has expired' : 'it was not signed by this gateway'
    throw apiError('grant_refused', `The grant of this job does not hold: ${reason}.`, { cause: error })
  }
}
