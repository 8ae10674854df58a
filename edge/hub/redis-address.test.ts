import { expect, test } from 'vitest'
import { parseRedisAddress } from './redis-address.ts'

test.each([
  ['redis://localhost', { hostname: 'localhost', port: 6379, tls: false, username: undefined, password: undefined, database: 0 }],
  ['rediss://ann:p%40ss%2F@redis.lab:7000/3', { hostname: 'redis.lab', port: 7000, tls: true, username: 'ann', password: 'p@ss/', database: 3 }],
  ['redis://:secret@[::1]:6380/', { hostname: '::1', port: 6380, tls: false, username: undefined, password: 'secret', database: 0 }],
])('%s', (url, address) => {
  expect(parseRedisAddress(url)).toEqual(address)
})

test.each(['', 'localhost:6379', 'http://:hunter2@host', 'redis://', 'redis://:hunter2@host/zero', 'redis://:%zzhunter2@host'])(
  '"%s" is refused without being quoted',
  (url) => {
    const refusal = expect.objectContaining({ code: 'gateway_misconfigured', message: expect.stringMatching(/^REDIS_URL must look like (?!.*hunter2)/) })
    expect(() => parseRedisAddress(url)).toThrow(refusal)
  },
)
