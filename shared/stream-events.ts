/**
 * What a worker writes to a job's result stream and the edge reads back. One Redis Stream entry holds one event, as
 * the two fields `type` and `data` (JSON of the rest), so that a reader can route an event without parsing it.
 *
 * Order: `position`* `accepted` (`delta` | `advisory` | `moderation`)* `usage`? then exactly one of `done` and `error`.
 * A worker that takes a job over after another one died writes a second `accepted` with a higher `attempt`.
 */
import * as z from 'zod'
import { errorCodes } from './errors.ts'
import type { ErrorCode } from './errors.ts'

const tokenLogprobSchema = z.object({
  /** The token's text; bytes that are not UTF-8 on their own show as U+FFFD, `bytes` holds them exactly. */
  token: z.string(),
  bytes: z.array(z.int().min(0).max(255)),
  /** Natural logarithm; null for the first token of a prompt, which nothing predicts. */
  logprob: z.number().nullable(),
})

export const scoredTokenSchema = tokenLogprobSchema.extend({
  top: z.array(tokenLogprobSchema),
})
export type TokenLogprob = z.infer<typeof tokenLogprobSchema>
export type ScoredToken = z.infer<typeof scoredTokenSchema>

export const finishReasonSchema = z.enum(['stop', 'length', 'content_filter'])
export type FinishReason = z.infer<typeof finishReasonSchema>

export const streamEventSchema = z.discriminatedUnion('type', [
  /** Where the job stands in its queue; 0 is next. */
  z.object({ type: z.literal('position'), position: z.int().nonnegative(), expectedWaitMs: z.number().nonnegative().nullable() }),
  /** A worker has checked the grant and the prompt and starts the forward passes. */
  z.object({
    type: z.literal('accepted'),
    worker: z.string(),
    attempt: z.int().positive(),
    promptTokens: z.int().nonnegative(),
    weightsDigest: z.string(),
  }),
  /** Text that moderation released, with the scores of the tokens that end in it when they were asked for. */
  z.object({ type: z.literal('delta'), text: z.string(), logprobs: z.array(scoredTokenSchema).optional() }),
  /** A remark on text that was sent; never a reason to stop. */
  z.object({ type: z.literal('advisory'), kind: z.string(), message: z.string(), span: z.tuple([z.int(), z.int()]).optional() }),
  /** A verdict on withheld text. It names the rule, never the text. */
  z.object({
    type: z.literal('moderation'),
    action: z.enum(['annotate', 'redact', 'review', 'block']),
    categories: z.array(z.string()),
    rules: z.array(z.string()),
    policyVersion: z.string(),
  }),
  z.object({ type: z.literal('usage'), promptTokens: z.int().nonnegative(), completionTokens: z.int().nonnegative() }),
  z.object({ type: z.literal('done'), finishReason: finishReasonSchema }),
  z.object({ type: z.literal('error'), code: z.enum(errorCodes), message: z.string(), param: z.string().nullable() }),
])
export type StreamEvent = z.infer<typeof streamEventSchema>
export type StreamEventType = StreamEvent['type']
export type StreamEventOf<Type extends StreamEventType> = Extract<StreamEvent, { type: Type }>

/** One event with the id of its Redis Stream entry, which is also the `id:` of its SSE message. */
export interface StreamEntry {
  readonly id: string
  readonly event: StreamEvent
}

/** A stream has exactly one terminal event, and it is the last. */
export const terminalTypes = ['done', 'error'] as const satisfies readonly StreamEventType[]

export function isTerminal(type: string): type is (typeof terminalTypes)[number] {
  return type === 'done' || type === 'error'
}

/** The value of an entry's `data` field. */
export function encodeEventData(event: StreamEvent): string {
  const { type: _, ...data } = event
  return JSON.stringify(data)
}

/** The event of an entry's two fields. Throws when they are not a valid event: a bug or a foreign writer. */
export function decodeEvent(type: string, data: string): StreamEvent {
  return streamEventSchema.parse({ ...(JSON.parse(data) as object), type })
}

export function errorEvent(code: ErrorCode, message: string, param: string | null = null): StreamEventOf<'error'> {
  return { type: 'error', code, message, param }
}
