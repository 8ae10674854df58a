import { exportJWK, generateKeyPair } from 'jose'
import { beforeAll, expect, test } from 'vitest'
import { createGrantSigner, createGrantVerifier, grantKeySchema, promptHash } from './grant.ts'
import type { GrantContent, GrantKey } from './grant.ts'
import { jobVersion } from './job.ts'
import type { Job } from './job.ts'

const digest = `sha256:${'a'.repeat(64)}`
let key: GrantKey
let job: Job
let content: GrantContent

async function makeKey(): Promise<GrantKey> {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
  return grantKeySchema.parse({ ...(await exportJWK(privateKey)), kid: 'one' })
}

beforeAll(async () => {
  key = await makeKey()
  job = {
    version: jobVersion,
    id: 'job_000000000000000000000000',
    model: 'phi-mini',
    class: 'interactive',
    grant: '',
    deadline: Date.now() + 60_000,
    trace: 'req_1',
    request: {
      prompt: { type: 'text', text: 'Hello' },
      maxTokens: 5,
      sampling: { temperature: 0, topP: 1, seed: 1 },
      stop: [],
      ignoreEos: false,
      logprobs: null,
      echo: false,
    },
  }
  content = {
    sub: 'key_1',
    jti: job.id,
    exp: Math.floor(Date.now() / 1000) + 60,
    model: job.model,
    weightsDigest: digest,
    licence: { profile: 'mit', version: 'sha256:1' },
    purpose: 'a test',
    promptHash: await promptHash(job.request.prompt),
    limits: { maxTokens: 5 },
  }
})

async function verify(changes: { grant?: Partial<GrantContent>; job?: Partial<Job>; request?: Partial<Job['request']>; digest?: string; signer?: GrantKey }) {
  const grant = await (await createGrantSigner(changes.signer ?? key))({ ...content, ...changes.grant })
  const changed: Job = { ...job, grant, ...changes.job, request: { ...job.request, ...changes.request } }
  return (await createGrantVerifier(key))(changed, changes.digest ?? digest)
}

test('a grant for this job, prompt, weights and limits holds', async () => {
  expect(await verify({})).toMatchObject({ sub: 'key_1', jti: job.id, licence: { profile: 'mit' } })
})

test.each([
  ['another job', { job: { id: 'job_111111111111111111111111' } }, 'another job'],
  ['another model', { job: { model: 'phi-2' } }, 'another model'],
  ['other weights', { digest: `sha256:${'b'.repeat(64)}` }, 'other weights'],
  ['an altered prompt', { request: { prompt: { type: 'text', text: 'Hello!' } } }, 'another prompt'],
  ['raised limits', { request: { maxTokens: 6 } }, 'other limits'],
  ['an expired grant', { grant: { exp: Math.floor(Date.now() / 1000) - 60 } }, 'expired'],
  ['no grant at all', { job: { grant: '' } }, 'not signed'],
  ['an unsigned token', { job: { grant: 'eyJhbGciOiJub25lIn0.e30.' } }, 'not signed'],
] as const)('%s is refused', async (_name, changes, reason) => {
  await expect(verify(changes)).rejects.toMatchObject({ code: 'grant_refused', message: expect.stringContaining(reason) })
})

test("another signer's grant is refused", async () => {
  await expect(verify({ signer: await makeKey() })).rejects.toMatchObject({ code: 'grant_refused' })
})
