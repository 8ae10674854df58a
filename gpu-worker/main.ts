/**
 * The worker process: `node gpu-worker/main.ts`. It reads its environment, starts the worker, tells its parent over the IPC
 * channel (when there is one) what it is doing and when it is ready, and ends cleanly on SIGTERM, on SIGINT, and when
 * its parent dies. Exit codes: 0 asked to stop, 1 anything else, so that a supervisor knows when to start it again.
 */
import { createId } from '../shared/ids.ts'
import { readConfiguration } from './configuration.ts'
import type { Configuration } from './configuration.ts'
import { createLog } from './log.ts'
import { startWorker } from './worker.ts'
import type { Worker } from './worker.ts'

/** After this long beyond the drain, a stop that hangs is cut short. */
const longestStopMs = 2000

function tellParent(message: { readonly type: string; readonly [field: string]: unknown }): void {
  // The parent may die at any moment, also within the call.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}

async function run(configuration: Configuration): Promise<void> {
  const worker = createId('worker')
  const log = createLog(configuration.logLevel).child({ worker })
  const starting = new AbortController()
  let started: Promise<Worker> | undefined
  let stopping = false

  const crash = (error: unknown): void => {
    log.fatal({ err: error }, 'The worker failed')
    process.exit(1)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)

  const stop = async (reason: string, exitCode: 0 | 1): Promise<void> => {
    if (stopping) return
    stopping = true
    log.info({ reason }, 'stopping')
    setTimeout(() => {
      log.error('Stopping took too long; ending now')
      process.exit(1)
    }, configuration.drainMs + longestStopMs)
    starting.abort()
    const running = await started?.catch(() => undefined)
    await running?.stop()
    log.info('stopped')
    process.exit(exitCode)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal, 0))
  if (process.connected) process.on('disconnect', () => void stop('the parent is gone', 0))

  let lastDetail = ''
  started = startWorker({
    configuration,
    worker,
    log,
    onProgress(detail) {
      if (detail === lastDetail) return
      lastDetail = detail
      log.debug({ detail }, 'starting')
      tellParent({ type: 'progress', detail })
    },
    onEngineLost: () => void stop('the engine is lost', 1),
    signal: starting.signal,
  })
  try {
    const { id, weightsDigest } = (await started).registration
    if (stopping) return
    log.info({ model: id, weightsDigest }, 'ready')
    tellParent({ type: 'ready', model: id, weightsDigest })
  } catch (error) {
    if (!stopping) crash(error)
  }
}

try {
  await run(readConfiguration(process.env))
} catch (error) {
  createLog('info').fatal(error instanceof Error ? error.message : 'The configuration could not be read.')
  process.exitCode = 1
}
