/** The token bus for Node programs, such as tests and benches. */
import { connectNode } from './connect-node.ts'
import { createTokenBus } from './create-token-bus.ts'
import type { LocalTokenBus } from './create-token-bus.ts'
import type { HubSettings } from './hub-core.ts'
import { parseRedisAddress } from './redis-address.ts'

export interface NodeTokenBusOptions {
  /** `redis[s]://[user:password@]host[:port][/database]` */
  readonly redisUrl: string
  /** Names the wake stream and the connections; buses that share it only wake each other needlessly. */
  readonly shard?: string
  readonly settings?: Partial<HubSettings>
}

/** Connects with the first call. Throws `gateway_misconfigured` when the URL is not one of Redis. */
export function createNodeTokenBus({ redisUrl, shard = 'node', settings = {} }: NodeTokenBusOptions): LocalTokenBus {
  const address = parseRedisAddress(redisUrl)
  return createTokenBus({ connect: connectNode(address), address, shard, settings })
}
