/** What the engine's thread and its owner tell each other. All that one turn produced travels in one message. */
import type { Manifest } from '../model/manifest.ts'
import type { EngineFailure, EngineStatistics, SequenceRequest, SequenceStep } from './engine.ts'
import type { KeyValuePlan } from './key-value-budget.ts'

/** The thread's workerData. */
export interface EngineThreadOptions {
  readonly modelFolder: string
  readonly manifest: Manifest
  readonly memory: KeyValuePlan
  /** Prompt tokens per turn at most. */
  readonly chunkTokens: number
  readonly threads: number
}

export type EngineCommand =
  | { readonly type: 'start'; readonly id: number; readonly request: SequenceRequest }
  | { readonly type: 'cancel'; readonly id: number }
  /** Ends the thread after the turn that runs. */
  | { readonly type: 'close' }

export interface SequenceUpdate {
  readonly id: number
  readonly steps: readonly SequenceStep[]
  /** The sequence has ended with this after the steps. */
  readonly failure: { readonly failure: EngineFailure; readonly message: string } | null
}

export type EngineReport =
  | { readonly type: 'ready' }
  /** The thread ends; before `ready` the engine could not start. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'turn'; readonly updates: readonly SequenceUpdate[]; readonly statistics: EngineStatistics }
