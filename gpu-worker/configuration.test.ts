import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { readConfiguration } from './configuration.ts'
import { createGrantKey } from './test-support/jobs.ts'

const { d: secret, ...publicKey } = await createGrantKey()
const least = { REDIS_URL: 'redis://:pass@localhost:6379', PHIGATE_GRANT_PUBLIC_KEY: JSON.stringify(publicKey) }

test('two variables are enough', () => {
  expect(readConfiguration({ ...least, PHIGATE_MODEL: '' })).toMatchObject({
    redisUrl: least.REDIS_URL,
    model: 'phi-mini',
    home: resolve('.phigate'),
    grantKey: publicKey,
    slots: undefined,
    lease: { lapseMs: 6000, renewMs: 2000, reclaimMs: 1000 },
  })
})

test.each([
  ['REDIS_URL', undefined, 'redis://'],
  ['REDIS_URL', 'http://:hunter2@localhost', 'redis://'],
  ['PHIGATE_GRANT_PUBLIC_KEY', undefined, 'JSON Web Key'],
  ['PHIGATE_GRANT_PUBLIC_KEY', '{"kty":"hunter2"}', 'JSON Web Key'],
  ['PHIGATE_GRANT_PUBLIC_KEY', 'hunter2', 'JSON Web Key'],
  ['PHIGATE_GRANT_PUBLIC_KEY', JSON.stringify({ ...publicKey, d: secret }), 'private key'],
  ['PHIGATE_SLOTS', '0', '>=1'],
  ['PHIGATE_SLOTS', 'many', 'number'],
  ['PHIGATE_LOG_LEVEL', 'loud', 'debug'],
  ['PHIGATE_LEASE_MS', '1', '>=300'],
])('%s set to %s is refused by name, without the value', (name, value, reason) => {
  const read = (): unknown => readConfiguration({ ...least, [name]: value })
  expect(read).toThrow(new RegExp(`^${name} is not usable: .*${reason}`))
  expect(read).not.toThrow(/hunter2/)
  expect(read).not.toThrow(secret)
})
