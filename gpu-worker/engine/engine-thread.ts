/**
 * The engine's thread: opens the model, checks it on a forward pass whose outcome is known, and then takes turns as long
 * as there are sequences. A forward pass blocks this thread, which is why it is one.
 */
import { join } from 'node:path'
import { setImmediate as nextEventLoopRound } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { graphFile } from '../model/manifest.ts'
import type { EngineCommand, EngineReport, EngineThreadOptions } from './engine-messages.ts'
import { openForwardPass } from './forward-pass.ts'
import type { ForwardPass } from './forward-pass.ts'
import { createGenerationLoop } from './generation-loop.ts'
import { createKeyValueCache } from './key-value-cache.ts'
import { createPrefixStore } from './prefix-store.ts'
import { createSampler } from './sampler.ts'
import { selfCheck } from './self-check.ts'

if (parentPort === null) throw new Error('This file is the main file of a worker thread.')
const port = parentPort
const { modelFolder, manifest, memory, chunkTokens, threads } = workerData as EngineThreadOptions
const { vocabularySize, weightsDigest } = manifest
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
const report = (message: EngineReport): void => port.postMessage(message)

const commands: EngineCommand[] = []
let wake: () => void = () => undefined
port.on('message', (command: EngineCommand) => {
  commands.push(command)
  wake()
})

async function run(): Promise<void> {
  let forwardPass: ForwardPass | undefined
  try {
    const cache = createKeyValueCache(manifest, memory.slots, memory)
    forwardPass = await openForwardPass(
      { graphPath: join(modelFolder, graphFile), manifest, cache, maximumTokens: Math.max(chunkTokens, memory.slots), threads },
      (reason) => process.emitWarning(`The model runs through onnxruntime-node's slower binding: ${String(reason)}`),
    )
    await selfCheck(forwardPass, cache, manifest)
    report({ type: 'ready' })
    const prefixes = createPrefixStore(cache, weightsDigest)
    await takeTurns(createGenerationLoop({ forwardPass, cache, prefixes, sampler: createSampler(vocabularySize), vocabularySize, chunkTokens }))
  } catch (error) {
    report({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  } finally {
    await forwardPass?.close()
  }
}

/** Resolves when it is told to close. */
async function takeTurns(loop: ReturnType<typeof createGenerationLoop>): Promise<void> {
  for (;;) {
    for (const command of commands.splice(0)) {
      if (command.type === 'close') return
      if (command.type === 'start') loop.start(command.id, command.request)
      else loop.cancel(command.id)
    }
    if (loop.idle) {
      await new Promise<void>((resolve) => (wake = resolve))
    } else {
      const updates = await loop.turn()
      if (updates.length > 0) report({ type: 'turn', updates, statistics: loop.statistics })
      // Commands arrive between turns only.
      await nextEventLoopRound()
    }
  }
}

await run()
port.close()
