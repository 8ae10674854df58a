import { env } from 'cloudflare:workers'
import { describe, inject } from 'vitest'
import { randomBase62 } from '../../shared/ids.ts'
import { connectWorkerd } from './connect-workerd.ts'
import { createTokenBus } from './create-token-bus.ts'
import { createHubTokenBus } from './hub-token-bus.ts'
import { parseRedisAddress } from './redis-address.ts'
import { testTokenBus } from './token-bus-conformance.ts'
import type { TokenBusUnderTest } from './token-bus-conformance.ts'

function open(): TokenBusUnderTest {
  // An object of this file's own: other files' Workers reach the same Redis under the same names.
  const own = randomBase62(8)
  const ownName = (name: string): string => `${own}-${name}`
  return {
    redisUrl: inject('redisUrl'),
    connect: connectWorkerd,
    bus: createHubTokenBus({ getByName: (name) => env.HUB.getByName(ownName(name)) }, 1),
    connectionName: `phigate-hub:${env.HUB.idFromName(ownName('hub-0')).toString()}`,
    createLocalBus(redisUrl, settings) {
      const address = parseRedisAddress(redisUrl)
      return createTokenBus({ connect: connectWorkerd(address), address, shard: own, settings })
    },
    close: () => {},
  }
}

describe('the token bus over the hub Durable Object', () => {
  testTokenBus(open)
})
