/**
 * One attempt at a job, from the fencing token to the terminal event: checks the grant, watches the deadline and
 * cancellation, generates, and turns every way to fail into the one event that the client is shown.
 *
 * A job that another worker left behind runs again from the start as long as none of its text was released. When some was,
 * the client has read it, and the job ends in `worker_lost`.
 */
import type { Logger } from 'pino'
import type { Policy } from '../safety/policy.ts'
import { ApiError, apiError } from '../shared/errors.ts'
import type { ErrorCode } from '../shared/errors.ts'
import type { createGrantVerifier } from '../shared/grant.ts'
import type { Job } from '../shared/job.ts'
import { resultTtlSeconds } from '../shared/redis-keys.ts'
import { errorEvent } from '../shared/stream-events.ts'
import type { StreamEvent } from '../shared/stream-events.ts'
import { EngineError } from './engine/engine.ts'
import type { Engine } from './engine/engine.ts'
import type { Tokenizer } from './engine/tokenizer.ts'
import { checkSampling } from './generation/check-sampling.ts'
import { generateText } from './generation/generate-text.ts'
import type { GenerationEnd } from './generation/generate-text.ts'
import { createPromptPreparation } from './generation/prepare-prompt.ts'
import type { Interruption, JobOutcome } from './queue/consumer.ts'
import { persist } from './queue/redis-connection.ts'
import { createResultWriter } from './queue/result-writer.ts'
import type { QueueScripts } from './queue/scripts.ts'

export interface JobRunnerOptions {
  readonly engine: Engine
  readonly tokenizer: Tokenizer
  readonly policy: Policy
  readonly verifyGrant: Awaited<ReturnType<typeof createGrantVerifier>>
  readonly scripts: QueueScripts
  /** This worker's name, shown in `accepted`. */
  readonly worker: string
  /** How often a job that writes nothing asks whether it was cancelled: while it waits for a slot or for its prompt. */
  readonly askMs: number
  /** The engine can run no more sequences. May be called more than once. */
  readonly onEngineLost: () => void
  readonly log: Logger
}

/** A job that ended the process of this many workers is not given to another one. */
export const maximumAttempts = 3

/** No job runs longer, whatever its deadline says. */
const longestRunMs = 24 * 60 * 60 * 1000

type Stop =
  | { readonly type: 'cancelled'; readonly reason: string }
  | { readonly type: 'deadline' }
  | { readonly type: 'fenced' | 'finished' }
  | { readonly type: 'unwritable'; readonly error: unknown }
  | { readonly type: Interruption }

/**
 * Returns the function that runs one job. It rejects only when not even an error event could be written; the signal's
 * reason is an `Interruption`.
 */
export function createJobRunner(options: JobRunnerOptions): (job: Job, signal: AbortSignal) => Promise<JobOutcome> {
  const { engine, tokenizer, policy, verifyGrant, scripts, worker, askMs, onEngineLost } = options
  const { description } = engine
  const preparePrompt = createPromptPreparation(tokenizer, description, policy)

  return async function runJob(job, interruption) {
    const log = options.log.child({ job: job.id, trace: job.trace, model: job.model })
    const remainingMs = Math.min(job.deadline - Date.now(), longestRunMs)
    const ttlSeconds = resultTtlSeconds + Math.ceil(Math.max(remainingMs, 0) / 1000)
    const start = await persist(() => scripts.startAttempt(job.id, ttlSeconds))
    if (start.ended) return 'ended'

    let stop: Stop | undefined
    const stopping = new AbortController()
    const stopFor = (reason: Stop): void => {
      stop ??= reason
      stopping.abort()
    }
    const writer = createResultWriter({
      scripts,
      jobId: job.id,
      attempt: start.attempt,
      ttlSeconds,
      onCancel: (reason) => stopFor({ type: 'cancelled', reason }),
      onRefused: (type) => stopFor({ type }),
      onFailure: (error) => stopFor({ type: 'unwritable', error }),
    })
    let promptTokens: number | undefined
    let completionTokens = 0
    let released = false
    const publish = (events: readonly StreamEvent[]): void => {
      released ||= events.some(({ type }) => type === 'delta')
      writer.write(events)
    }

    async function generate(): Promise<GenerationEnd | null> {
      if (start.attempt > maximumAttempts) throw apiError('worker_lost', `The job was given up: ${maximumAttempts} workers ended while they ran it.`)
      if (start.deltas > 0) throw apiError('worker_lost', 'The worker ended in the middle of the text.')
      const { sub: keyId } = await verifyGrant(job, description.weightsDigest)
      if (start.cancelReason !== null) stopFor({ type: 'cancelled', reason: start.cancelReason })
      if (remainingMs <= 0) stopFor({ type: 'deadline' })
      if (stopping.signal.aborted) return null
      const prompt = preparePrompt(job.request)
      checkSampling(job.request, prompt.maxTokens, description)
      promptTokens = prompt.tokens.length
      publish([{ type: 'accepted', worker, attempt: start.attempt, promptTokens, weightsDigest: description.weightsDigest }])
      return generateText({
        engine,
        tokenizer,
        policy,
        request: job.request,
        // How fast an answer begins must not tell one key what another has asked.
        isolation: keyId,
        prompt,
        publish,
        onToken: () => (completionTokens += 1),
        signal: stopping.signal,
      })
    }

    async function end(events: readonly StreamEvent[], terminal: StreamEvent): Promise<JobOutcome> {
      const usage: StreamEvent[] = promptTokens === undefined ? [] : [{ type: 'usage', promptTokens, completionTokens }]
      const outcome = await writer.finish([...events, ...usage, terminal])
      log.info(
        {
          attempt: start.attempt,
          promptTokens,
          completionTokens,
          outcome,
          ...(terminal.type === 'done' ? { finishReason: terminal.finishReason } : terminal.type === 'error' && { error: terminal.code }),
        },
        'job ended',
      )
      return outcome === 'fenced' ? 'left' : 'ended'
    }

    const fail = (code: ErrorCode, message: string, param: string | null = null): Promise<JobOutcome> => end([], errorEvent(code, message, param))

    /** This worker can not go on, but another one can, unless the client has already read some of the text. */
    async function leave(message: string): Promise<JobOutcome> {
      if (released) return fail('worker_lost', message)
      await writer.abandon()
      log.info({ attempt: start.attempt }, 'job left for another worker')
      return 'left'
    }

    async function endStopped(reason: Stop): Promise<JobOutcome> {
      switch (reason.type) {
        case 'cancelled':
          return fail('cancelled', `The request was cancelled: ${reason.reason}`)
        case 'deadline':
          return fail('deadline_exceeded', 'The request took longer than its time limit.')
        case 'worker-stopping':
          return leave('The worker was stopped in the middle of the text.')
        case 'lease-lost':
        case 'fenced':
          log.warn({ attempt: start.attempt, reason: reason.type }, 'another worker has this job now')
          await writer.abandon()
          return 'left'
        case 'finished':
          return 'ended'
        case 'unwritable':
          throw reason.error
      }
    }

    async function endFailed(error: unknown): Promise<JobOutcome> {
      if (error instanceof ApiError) return fail(error.code, error.message, error.param)
      if (error instanceof EngineError && (error.failure === 'thread-died' || error.failure === 'closed')) {
        onEngineLost()
        return leave('The worker failed in the middle of the text.')
      }
      log.error({ err: error }, 'job failed')
      if (error instanceof EngineError) return fail('generation_failed', 'The model could not compute this text.')
      return fail('internal_error', 'The worker failed on this job.')
    }

    const onInterruption = (): void => stopFor({ type: interruption.reason as Interruption })
    interruption.addEventListener('abort', onInterruption)
    if (interruption.aborted) onInterruption()
    const deadline = setTimeout(() => stopFor({ type: 'deadline' }), Math.max(remainingMs, 0))
    const asking = setInterval(() => writer.write([]), askMs)
    try {
      const ended = await generate()
      if (ended !== null) return await end(ended.events, { type: 'done', finishReason: ended.finishReason })
      if (stop === undefined) throw new Error('The engine ended a sequence without saying why.')
      return await endStopped(stop)
    } catch (error) {
      return stop === undefined ? await endFailed(error) : await endStopped(stop)
    } finally {
      clearTimeout(deadline)
      clearInterval(asking)
      interruption.removeEventListener('abort', onInterruption)
    }
  }
}
