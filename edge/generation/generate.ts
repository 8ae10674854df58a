/**
 * From a checked request to the HTTP answer: moderate the prompt, sign and enqueue the job, follow its events. Status
 * 200 of a stream is held back until the worker has accepted the job, so that what the worker finds wrong is an HTTP
 * error like any other; a job that waits in the queue for longer gets its 200 with comments in the meantime.
 */
import type { Policy } from '../../safety/policy.ts'
import type { GrantContent } from '../../shared/grant.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { StreamEntry } from '../../shared/stream-events.ts'
import type { TokenBus } from '../hub/token-bus.ts'
import type { LicenceAcceptance, ResearchKey } from '../keys/key-store.ts'
import type { AnswerFormat, AnswerHeader } from '../openai/answer-format.ts'
import type { ParsedRequest } from '../openai/request-fields.ts'
import { collectAnswer } from './collect-answer.ts'
import { createJob } from './create-job.ts'
import { errorOfEvent } from './error-of-event.ts'
import { followJob } from './follow-job.ts'
import type { JobFollower } from './follow-job.ts'
import { moderatePrompt } from './moderate-prompt.ts'
import { streamAnswer } from './stream-answer.ts'

export interface GenerationDependencies {
  readonly bus: TokenBus
  readonly signGrant: (content: GrantContent) => Promise<string>
  readonly policy: Policy
  /** Unix milliseconds. */
  readonly now: () => number
  readonly timing: GenerationTiming
}

export interface GenerationTiming {
  /** A request may wait and run for this long in all. */
  readonly jobDeadlineMs: number
  /** A stream that no worker has accepted by then answers 200 and says `queued`. */
  readonly commitAfterMs: number
  /** A silent stream sends a comment this often. */
  readonly keepAliveMs: number
}

export interface GenerationInput {
  readonly key: ResearchKey
  readonly model: ModelRegistration
  readonly acceptance: LicenceAcceptance
  readonly parsed: ParsedRequest
  readonly createFormat: (header: AnswerHeader) => AnswerFormat
  readonly trace: string
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
}

export type Generated =
  | { readonly type: 'whole'; readonly body: object }
  /** `onEnd` is called once when the stream has ended, with the error unless it ended well. */
  | { readonly type: 'stream'; readonly open: (onEnd: (error?: unknown) => void) => ReadableStream<Uint8Array> }

/** Throws `content_filter`, `queue_unavailable`, `deadline_exceeded`, `cancelled`, or the error that the worker ended the job with. */
export async function generate(dependencies: GenerationDependencies, input: GenerationInput): Promise<Generated> {
  const { bus, now, timing } = dependencies
  const { parsed, model, signal } = input
  moderatePrompt(parsed.textsToModerate, dependencies.policy)

  const startedAt = now()
  const deadline = startedAt + timing.jobDeadlineMs
  const job = await createJob({ ...input, request: parsed.request, deadline }, dependencies.signGrant)
  const format = input.createFormat({
    jobId: job.id,
    model,
    created: Math.floor(startedAt / 1_000),
    includeUsage: parsed.stream && parsed.includeUsage,
    withLogprobs: parsed.request.logprobs !== null,
  })
  const follower = followJob(await bus.submit(job, signal), { signal, deadline, now })

  if (!parsed.stream) return { type: 'whole', body: format.whole(await collectAnswer(follower)) }
  const heard = await untilAccepted(follower, now() + timing.commitAfterMs, now)
  const { includeUsage } = parsed
  const { keepAliveMs } = timing
  return { type: 'stream', open: (onEnd) => streamAnswer({ follower, signal, format, heard, includeUsage, keepAliveMs, onEnd }) }
}

/** The entries up to the worker's first word on the job, or those that came before `commitAt`. Throws the job's error. */
async function untilAccepted(follower: JobFollower, commitAt: number, now: () => number): Promise<readonly StreamEntry[]> {
  const heard: StreamEntry[] = []
  for (;;) {
    const entries = await follower.next(commitAt - now())
    if (entries === 'silence') return heard
    for (const entry of entries) {
      if (entry.event.type === 'error') throw errorOfEvent(entry.event)
      heard.push(entry)
    }
    if (heard.some(({ event }) => event.type !== 'position')) return heard
  }
}
