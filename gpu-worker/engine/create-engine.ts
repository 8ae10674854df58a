/** Starts the engine of a compiled model: decides how much memory and how many threads it gets, and starts its thread. */
import { totalmem } from 'node:os'
import { Worker } from 'node:worker_threads'
import { readManifest } from '../model/manifest.ts'
import type { Engine } from './engine.ts'
import { connectEngine } from './engine-client.ts'
import type { EngineThreadOptions } from './engine-messages.ts'
import { slotsWithin } from './key-value-cache.ts'
import { physicalCores } from './physical-cores.ts'

export interface EngineOptions {
  /** A folder made by `compileCheckpoint`. */
  readonly modelFolder: string
  /** Sequences side by side, as far as the budget goes. */
  readonly slots?: number
  /** Memory for the KV cache; default a quarter of what this process may use. It is touched only as far as it is used. */
  readonly keyValueBudgetBytes?: number
  /** Threads of the forward pass; default one per physical core. */
  readonly threads?: number
}

const defaultSlots = 16

/**
 * Resolves when the engine has passed its self-check. Throws `ModelError` when the folder is not a compiled model, and
 * `EngineError` `start-failed` when the model can not be loaded or not even one sequence fits the budget.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { modelFolder, slots: wanted = defaultSlots, keyValueBudgetBytes = usableMemory() / 4 } = options
  const manifest = await readManifest(modelFolder)
  const slots = slotsWithin(manifest, wanted, keyValueBudgetBytes)
  const workerData: EngineThreadOptions = { modelFolder, manifest, slots, threads: options.threads ?? (await physicalCores()) }
  // ONNX Runtime reads it when the library loads. In a thread it would change Node's copy of the environment alone.
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const thread = new Worker(new URL('./engine-thread.ts', import.meta.url), { name: 'engine', workerData })
  const { modelId, weightsDigest, precision, contextLength, vocabularySize, endTokens } = manifest
  return connectEngine(thread, { modelId, weightsDigest, precision, contextLength, vocabularySize, endTokens, slots, device: 'cpu' })
}

function usableMemory(): number {
  // The limit of the process's control group; 0 or enormous where there is none.
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
