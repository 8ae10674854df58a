/** A token bus for tests: it plays written events for each job, checks every job's form, and remembers what it was asked. */
import { jobSchema } from '../../shared/job.ts'
import type { Job } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { isTerminal } from '../../shared/stream-events.ts'
import type { StreamEntry, StreamEvent } from '../../shared/stream-events.ts'
import type { TokenBus } from '../hub/token-bus.ts'

/** Batches of events that arrive together, a pause of so many milliseconds, or the bus failing with an error. */
export type ScriptStep = readonly StreamEvent[] | { readonly pauseMs: number } | { readonly fail: Error } | 'for-ever'

export interface ScriptedTokenBus extends TokenBus {
  readonly jobs: readonly Job[]
  /** Ids of jobs whose stream was cancelled or whose signal was aborted before the terminal event. */
  readonly cancelled: ReadonlySet<string>
  /** What each of the next jobs answers, in the order of their submission; those after them do as `play` said. */
  playEach(...scripts: readonly (readonly ScriptStep[])[]): void
  /** What the jobs from now on answer. A script without a terminal event ends as a broken stream, unless it waits `for-ever`. */
  play(...script: readonly ScriptStep[]): void
  serve(...models: readonly ModelRegistration[]): void
  /** Calls fail with this from now on; undefined makes them work again. */
  break(error: Error | undefined): void
}

export const acceptedEvent: StreamEvent = { type: 'accepted', worker: 'worker_1', attempt: 1, promptTokens: 5, weightsDigest: `sha256:${'ab'.repeat(32)}` }
export const usageEvent: StreamEvent = { type: 'usage', promptTokens: 5, completionTokens: 3 }
export const doneEvent: StreamEvent = { type: 'done', finishReason: 'stop' }

export function delta(text: string): StreamEvent {
  return { type: 'delta', text }
}

export function createScriptedTokenBus(): ScriptedTokenBus {
  const jobs: Job[] = []
  const cancelled = new Set<string>()
  let script: readonly ScriptStep[] = []
  let next: (readonly ScriptStep[])[] = []
  let models: readonly ModelRegistration[] = []
  let failure: Error | undefined
  const failWhenBroken = (): void => {
    if (failure !== undefined) throw failure
  }

  return {
    jobs,
    cancelled,
    playEach: (...scripts) => {
      next = [...scripts]
    },
    play: (...steps) => {
      script = steps
    },
    serve: (...registrations) => {
      models = registrations
    },
    break: (error) => {
      failure = error
    },
    async submit(job, signal) {
      failWhenBroken()
      jobs.push(jobSchema.parse(structuredClone(job)))
      return playStream(next.shift() ?? script, () => cancelled.add(job.id), signal)
    },
    async cancel(jobId) {
      cancelled.add(jobId)
    },
    async models() {
      failWhenBroken()
      return models
    },
    async ping() {
      failWhenBroken()
    },
  }
}

function playStream(script: readonly ScriptStep[], onCancel: () => void, signal: AbortSignal): ReadableStream<readonly StreamEntry[]> {
  const steps = [...script]
  let entries = 0
  let ended = false
  const cancel = (): void => {
    if (!ended) onCancel()
    ended = true
  }
  signal.addEventListener('abort', cancel)
  return new ReadableStream<readonly StreamEntry[]>(
    {
      async pull(controller) {
        const step = steps.shift()
        if (step === undefined) return controller.close()
        if (step === 'for-ever') return new Promise(() => undefined)
        if ('fail' in step) return controller.error(step.fail)
        if ('pauseMs' in step) {
          await new Promise((resolve) => setTimeout(resolve, step.pauseMs))
          return this.pull?.(controller)
        }
        controller.enqueue(step.map((event) => ({ id: `${++entries}-0`, event })))
        if (step.some(({ type }) => isTerminal(type))) {
          ended = true
          controller.close()
        }
      },
      cancel,
    },
    { highWaterMark: 0 },
  )
}
