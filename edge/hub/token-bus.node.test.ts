import { describe, inject } from 'vitest'
import { randomBase62 } from '../../shared/ids.ts'
import { connectNode } from './connect-node.ts'
import { createNodeTokenBus } from './node-token-bus.ts'
import { testTokenBus } from './token-bus-conformance.ts'
import type { TokenBusUnderTest } from './token-bus-conformance.ts'

function open(): TokenBusUnderTest {
  const redisUrl = inject('redisUrl')
  const shard = `node-${randomBase62(8)}`
  const bus = createNodeTokenBus({ redisUrl, shard })
  return {
    redisUrl,
    connect: connectNode,
    bus,
    connectionName: `phigate-hub:${shard}`,
    createLocalBus: (url, settings) => createNodeTokenBus({ redisUrl: url, settings }),
    close: bus.close,
  }
}

describe('the token bus over node:net', () => {
  testTokenBus(open)
})
