/** Jobs as the edge would queue them, and their results as the edge would read them. */
import { setTimeout as delay } from 'node:timers/promises'
import { exportJWK, generateKeyPair } from 'jose'
import type { Redis } from 'ioredis'
import { createGrantSigner, grantKeySchema, promptHash } from '../../shared/grant.ts'
import type { GrantContent, GrantKey } from '../../shared/grant.ts'
import { createId } from '../../shared/ids.ts'
import { jobVersion } from '../../shared/job.ts'
import type { GenerationRequest, Job } from '../../shared/job.ts'
import { jobsKey, resultKey } from '../../shared/redis-keys.ts'
import { decodeEvent, isTerminal } from '../../shared/stream-events.ts'
import type { StreamEvent } from '../../shared/stream-events.ts'

export async function createGrantKey(): Promise<GrantKey> {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
  return grantKeySchema.parse({ ...(await exportJWK(privateKey)), kid: 'test' })
}

/** A job without a grant. */
export function makeJob(model: string, request: Partial<GenerationRequest> = {}, rest: Partial<Job> = {}): Job {
  return {
    version: jobVersion,
    id: createId('job'),
    model,
    class: 'interactive',
    grant: '',
    deadline: Date.now() + 60_000,
    trace: createId('req'),
    request: {
      prompt: { type: 'text', text: 'Hello' },
      maxTokens: 20,
      sampling: { temperature: 0, topP: 1, seed: 1 },
      stop: [],
      ignoreEos: false,
      logprobs: null,
      echo: false,
      ...request,
    },
    ...rest,
  }
}

/** The job with a grant for it; `changes` make one that does not hold. */
export async function grantJob(job: Job, key: GrantKey, weightsDigest: string, changes: Partial<GrantContent> = {}): Promise<Job> {
  const sign = await createGrantSigner(key)
  const grant = await sign({
    sub: 'key_test',
    jti: job.id,
    exp: Math.floor(Date.now() / 1000) + 300,
    model: job.model,
    weightsDigest,
    licence: { profile: 'mit', version: 'sha256:0' },
    purpose: 'a test',
    promptHash: await promptHash(job.request.prompt),
    limits: { maxTokens: job.request.maxTokens },
    ...changes,
  })
  return { ...job, grant }
}

export async function enqueue(redis: Redis, job: Job): Promise<void> {
  await redis.xadd(jobsKey(job.model, job.class), '*', 'job', JSON.stringify(job))
}

export async function readEvents(redis: Redis, jobId: string): Promise<StreamEvent[]> {
  return (await redis.xrange(resultKey(jobId), '-', '+')).map(([, fields]) => decodeEvent(fields[1]!, fields[3]!))
}

/** Waits for the terminal event and returns all events. */
export async function eventsUntilEnd(redis: Redis, jobId: string): Promise<StreamEvent[]> {
  return until(() => readEvents(redis, jobId), (events) => events.some(({ type }) => isTerminal(type)))
}

export function textOf(events: readonly StreamEvent[]): string {
  return events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
}

/** Reads until it is as wanted. The limit only ends a test that has failed. */
export async function until<Value>(read: () => Promise<Value> | Value, wanted: (value: Value) => boolean): Promise<Value> {
  const limit = Date.now() + 20_000
  for (;;) {
    const value = await read()
    if (wanted(value)) return value
    if (Date.now() > limit) throw new Error(`Waited in vain; last seen: ${JSON.stringify(value)}`)
    await delay(10)
  }
}
