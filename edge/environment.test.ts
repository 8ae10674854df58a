import { expect, test } from 'vitest'
import { ConfigurationError, readSettings } from './environment.ts'

const grantKey = { kty: 'OKP', crv: 'Ed25519', kid: 'k', x: 'x'.repeat(43), d: 'the-private-part'.padEnd(43, '-') }
const complete = { HUB: {}, DB: {}, REDIS_URL: 'redis://user:secret-password@localhost:6379', GRANT_PRIVATE_KEY: JSON.stringify(grantKey) }

test('what is left out has a default, and an empty value is left out', () => {
  expect(readSettings({ ...complete, ADMIN_TOKEN: '', ALLOWED_ORIGINS: '' })).toMatchObject({
    HUB_SHARDS: 4,
    JOB_DEADLINE_SECONDS: 600,
    ADMIN_TOKEN: undefined,
    ALLOWED_ORIGINS: [],
    GRANT_PRIVATE_KEY: grantKey,
  })
})

test('text from wrangler.toml is read as what it means', () => {
  const settings = readSettings({ ...complete, HUB_SHARDS: '8', JOB_DEADLINE_SECONDS: '60', ALLOWED_ORIGINS: 'https://a.example, http://localhost:3000' })
  expect(settings).toMatchObject({ HUB_SHARDS: 8, JOB_DEADLINE_SECONDS: 60, ALLOWED_ORIGINS: ['https://a.example', 'http://localhost:3000'] })
})

test.each<[string, unknown]>([
  ['HUB', undefined],
  ['DB', undefined],
  ['REDIS_URL', undefined],
  ['REDIS_URL', 'http://secret-password@host'],
  ['GRANT_PRIVATE_KEY', undefined],
  ['GRANT_PRIVATE_KEY', 'secret-password'],
  ['GRANT_PRIVATE_KEY', JSON.stringify({ ...grantKey, d: undefined, kid: 'secret-password' })],
  ['GRANT_PRIVATE_KEY', JSON.stringify({ ...grantKey, d: 'secret-password' })],
  ['ADMIN_TOKEN', 'secret'],
  ['HUB_SHARDS', '0'],
  ['JOB_DEADLINE_SECONDS', 'soon'],
  ['ALLOWED_ORIGINS', 'https://a.example/secret'],
])('a wrong %s (%j) is named, and its value is not shown', (name, value) => {
  const { [name as keyof typeof complete]: _, ...rest } = complete
  const read = (): unknown => readSettings(value === undefined ? rest : { ...complete, [name]: value })
  expect(read).toThrow(ConfigurationError)
  expect(read).toThrow(new RegExp(`${name}\\b`))
  expect(read).not.toThrow(/secret|private-part/)
})
