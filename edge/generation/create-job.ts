/** Makes the job and its grant: the last step at the edge before the queue. */
import { clockToleranceSeconds, promptHash } from '../../shared/grant.ts'
import type { GrantContent } from '../../shared/grant.ts'
import { createId } from '../../shared/ids.ts'
import { jobVersion } from '../../shared/job.ts'
import type { GenerationRequest, Job } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { LicenceAcceptance, ResearchKey } from '../keys/key-store.ts'

export interface JobParts {
  readonly key: ResearchKey
  readonly model: ModelRegistration
  readonly acceptance: LicenceAcceptance
  readonly request: GenerationRequest
  /** Unix milliseconds. */
  readonly deadline: number
  readonly trace: string
}

export async function createJob(parts: JobParts, signGrant: (content: GrantContent) => Promise<string>): Promise<Job> {
  const { key, model, acceptance, request, deadline, trace } = parts
  const id = createId('job')
  const grant = await signGrant({
    sub: key.id,
    jti: id,
    exp: Math.ceil(deadline / 1_000) + clockToleranceSeconds,
    model: model.id,
    weightsDigest: model.weightsDigest,
    licence: { profile: acceptance.profile, version: acceptance.version },
    purpose: acceptance.purpose,
    promptHash: await promptHash(request.prompt),
    limits: { maxTokens: request.maxTokens },
  })
  return { version: jobVersion, id, model: model.id, class: 'interactive', grant, deadline, trace, request }
}
