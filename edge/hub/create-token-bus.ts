/** A token bus in this process: the hub's core with its lines decoded on the spot. */
import { entriesFromLines } from './entry-lines.ts'
import { createHubCore } from './hub-core.ts'
import type { HubCoreOptions } from './hub-core.ts'
import type { TokenBus } from './token-bus.ts'

export interface LocalTokenBus extends TokenBus {
  /** Fails streams under way with `queue_unavailable` and closes the connections. Jobs are not cancelled. */
  close(): void
}

export function createTokenBus(options: HubCoreOptions): LocalTokenBus {
  const { submit, cancel, models, ping, close } = createHubCore(options)
  return {
    async submit(job, signal) {
      const lines = await submit({ id: job.id, model: job.model, class: job.class, text: JSON.stringify(job) }, signal)
      // The core lives and dies with this process: nothing can break between the two.
      return entriesFromLines(lines, { signal, onBroken: () => {} })
    },
    cancel,
    models,
    ping,
    close,
  }
}
