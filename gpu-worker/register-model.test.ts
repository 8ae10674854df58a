import { Redis } from 'ioredis'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createId } from '../shared/ids.ts'
import { modelRegistrationSchema } from '../shared/model-registration.ts'
import type { ModelRegistration } from '../shared/model-registration.ts'
import { modelKey, modelsKey, modelTtlSeconds } from '../shared/redis-keys.ts'
import { registerModel } from './register-model.ts'

let redis: Redis
beforeAll(() => {
  redis = new Redis(inject('redisUrl'))
})
afterAll(() => redis.disconnect())

test('a model is listed while its worker lives and vanishes soon after', async () => {
  const registration: ModelRegistration = {
    id: createId('worker'),
    weightsDigest: `sha256:${'a'.repeat(64)}`,
    precision: 'fp32',
    contextLength: 64,
    vocabularySize: 100,
    licence: 'mit',
    created: 1,
    ownedBy: 'someone',
    startedAt: Date.now(),
  }
  const registrar = await registerModel(redis, registration, pino({ level: 'silent' }))
  expect(await redis.sismember(modelsKey, registration.id)).toBe(1)
  expect(modelRegistrationSchema.parse(JSON.parse((await redis.get(modelKey(registration.id))) ?? ''))).toEqual(registration)
  expect(await redis.ttl(modelKey(registration.id))).toBeGreaterThan(modelTtlSeconds - 10)
  await registrar.stop()
  // Not at once: other workers that serve it renew within ten seconds.
  const left = await redis.ttl(modelKey(registration.id))
  expect(left).toBeGreaterThan(10)
  expect(left).toBeLessThanOrEqual(15)
})
