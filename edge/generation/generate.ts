/**
 * From a checked request to the HTTP answer: moderate the prompts, sign and enqueue the jobs, one for each text, follow
 * their events. They succeed together: when one fails, the others are cancelled. Status 200 of a stream is held back until
 * the workers have accepted the jobs, so that what a worker finds wrong is an HTTP error like any other; jobs that wait
 * in the queue for longer get their 200 with comments in the meantime.
 */
import type { Policy } from '../../safety/policy.ts'
import type { GrantContent } from '../../shared/grant.ts'
import type { Job } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import type { TokenBus } from '../hub/token-bus.ts'
import type { LicenceAcceptance, ResearchKey } from '../keys/key-store.ts'
import type { AnswerFormat, AnswerHeader } from '../openai/answer-format.ts'
import type { ParsedRequest } from '../openai/request-fields.ts'
import { chooseBest, totalUsage } from './choose-best.ts'
import { collectAnswer } from './collect-answer.ts'
import { createJob } from './create-job.ts'
import { errorOfEvent } from './error-of-event.ts'
import { followJob } from './follow-job.ts'
import { followTogether } from './follow-together.ts'
import type { TextEntry, TextsFollower } from './follow-together.ts'
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
  const { now, timing } = dependencies
  const { parsed, model, signal } = input
  moderatePrompt(parsed.textsToModerate, dependencies.policy)

  const startedAt = now()
  const deadline = startedAt + timing.jobDeadlineMs
  const jobs = await Promise.all(parsed.requests.map((request) => createJob({ ...input, request, deadline }, dependencies.signGrant)))
  const format = input.createFormat({
    jobId: jobs[0]!.id,
    model,
    created: Math.floor(startedAt / 1_000),
    includeUsage: parsed.stream && parsed.includeUsage,
    withLogprobs: parsed.withLogprobs,
  })
  const follower = await submitTogether(jobs, deadline, dependencies, signal)
  try {
    if (!parsed.stream) {
      const texts = await collectAnswer(follower, jobs.length)
      const usage = totalUsage(texts.map((text) => text.usage), parsed.candidates)
      return { type: 'whole', body: format.whole(chooseBest(texts, parsed), usage) }
    }
    const heard = await untilAccepted(follower, jobs.length, now() + timing.commitAfterMs, now)
    const { includeUsage, candidates } = parsed
    const { keepAliveMs } = timing
    const choices = jobs.length
    return { type: 'stream', open: (onEnd) => streamAnswer({ follower, choices, candidates, signal, format, heard, includeUsage, keepAliveMs, onEnd }) }
  } catch (error) {
    follower.stop()
    throw error
  }
}

/** Throws `queue_unavailable` when one of the jobs can not be queued; the others are then cancelled. */
async function submitTogether(jobs: readonly Job[], deadline: number, { bus, now }: GenerationDependencies, signal: AbortSignal): Promise<TextsFollower> {
  const submissions = await Promise.allSettled(jobs.map((job) => bus.submit(job, signal)))
  const follower = followTogether(submissions.flatMap((one) => (one.status === 'fulfilled' ? [followJob(one.value, { signal, deadline, now })] : [])))
  const failed = submissions.find((one) => one.status === 'rejected')
  if (failed === undefined) return follower
  follower.stop()
  throw failed.reason
}

/**
 * The entries up to the workers' first word on every job, or the first text of one, or those that came before `commitAt`.
 * Throws a job's error.
 */
async function untilAccepted(follower: TextsFollower, count: number, commitAt: number, now: () => number): Promise<readonly TextEntry[]> {
  const heard: TextEntry[] = []
  const accepted = new Set<number>()
  for (;;) {
    const entries = await follower.next(commitAt - now())
    if (entries === 'silence') return heard
    for (const entry of entries) {
      if (entry.event.type === 'error') throw errorOfEvent(entry.event)
      heard.push(entry)
      if (entry.event.type !== 'position') accepted.add(entry.text)
    }
    if (accepted.size === count || heard.some(({ event }) => event.type === 'delta')) return heard
  }
}
