/** Starts the engine of a compiled model: decides how much memory and how many threads it gets, and starts its thread. */
import { totalmem } from 'node:os'
import { Worker } from 'node:worker_threads'
import { readManifest } from '../model/manifest.ts'
import type { Engine } from './engine.ts'
import { connectEngine } from './engine-client.ts'
import type { EngineThreadOptions } from './engine-messages.ts'
import { planKeyValueMemory } from './key-value-budget.ts'
import { physicalCores } from './physical-cores.ts'

export interface EngineOptions {
  /** A folder made by `compileCheckpoint`. */
  readonly modelFolder: string
  /** Sequences side by side, as far as the budget goes. */
  readonly slots?: number
  /** Tokens that a sequence may have; default the model's context, or what the budget holds. */
  readonly slotLength?: number
  /** Memory for keys and values; default a quarter of what this process may use. It is touched only as far as it is used. */
  readonly keyValueBudgetBytes?: number
  /** Whether prompts that share a prefix reuse its keys and values; default true. */
  readonly prefixReuse?: boolean
  /** Prompt tokens between two steps of the running sequences at most; default 128. More is faster and less even. */
  readonly chunkTokens?: number
  /** Threads of the forward pass; default one per physical core. */
  readonly threads?: number
}

const defaultSlots = 16
const defaultChunkTokens = 128

/** A turn leaves little garbage, all of it short-lived; left to itself, V8 takes 100 MiB more to collect it less often. */
const resourceLimits = { maxYoungGenerationSizeMb: 12 }

/**
 * Resolves when the engine has passed its self-check. Throws `ModelError` when the folder is not a compiled model, and
 * `EngineError` `start-failed` when the model can not be loaded or not one useful slot fits the budget, and `RangeError` for
 * counts that make no sense.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const {
    modelFolder,
    slots: wanted = defaultSlots,
    slotLength,
    keyValueBudgetBytes: budgetBytes = usableMemory() / 4,
    prefixReuse = true,
    chunkTokens = defaultChunkTokens,
  } = options
  if (!(Number.isInteger(chunkTokens) && chunkTokens >= 1)) throw new RangeError(`A turn must take a prompt token or more, not ${chunkTokens}.`)
  const manifest = await readManifest(modelFolder)
  const memory = planKeyValueMemory(manifest, { slots: wanted, slotLength, budgetBytes, prefixReuse })
  const workerData: EngineThreadOptions = { modelFolder, manifest, memory, chunkTokens, threads: options.threads ?? (await physicalCores()) }
  // ONNX Runtime reads it when the library loads. In a thread it would change Node's copy of the environment alone.
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const thread = new Worker(new URL('./engine-thread.ts', import.meta.url), { name: 'engine', workerData, resourceLimits })
  const { modelId, weightsDigest, precision, vocabularySize, endTokens } = manifest
  const { slots, slotLength: contextLength } = memory
  return connectEngine(thread, { modelId, weightsDigest, precision, contextLength, vocabularySize, endTokens, slots, device: 'cpu' })
}

function usableMemory(): number {
  // The limit of the process's control group; 0 or enormous where there is none.
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
