/**
 * A job: one prompt for one model, as the edge writes it to the queue and a worker reads it. The job carries all that
 * the worker needs and nothing about the HTTP request that caused it; OpenAI's formats stop at the edge. `version`
 * names both this format and the format of the events (stream-events.ts) that the edge expects back.
 */
import * as z from 'zod'

export const jobVersion = 2

export const jobClasses = ['interactive', 'batch'] as const
export const jobClassSchema = z.enum(jobClasses)
export type JobClass = z.infer<typeof jobClassSchema>

/** Model ids are path-safe and may have one owner part: `phi-mini`, `microsoft/phi-2`. */
export const modelIdSchema = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)?$/)

export const promptSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text: z.string() }),
  z.object({ type: z.literal('tokens'), tokens: z.array(z.int().nonnegative()) }),
])
export type Prompt = z.infer<typeof promptSchema>

export const maximumBiases = 1024

/** How tokens are chosen. What may be absent is not applied then. docs/api.md says what each does, and in which order. */
export const samplingSchema = z.object({
  /** 0 is greedy. */
  temperature: z.number().min(0).max(2),
  topP: z.number().gt(0).max(1),
  topK: z.int().positive().optional(),
  minP: z.number().min(0).max(1).optional(),
  frequencyPenalty: z.number().min(-2).max(2).optional(),
  presencePenalty: z.number().min(-2).max(2).optional(),
  repetitionPenalty: z.number().min(0.1).max(10).optional(),
  /** Pairs of a token, which comes once only, and what is added to its logit; -100 bans it. */
  logitBias: z.array(z.tuple([z.int().nonnegative(), z.number().min(-100).max(100)])).max(maximumBiases).optional(),
  /** Neither end tokens nor stop sequences end the text before it has that many tokens. */
  minTokens: z.int().nonnegative().optional(),
  /** The random stream is a pure function of (seed, position). The edge draws one when the client gives none. */
  seed: z.int().nonnegative().max(Number.MAX_SAFE_INTEGER),
})
export type Sampling = z.infer<typeof samplingSchema>

export const maximumTopLogprobs = 20
export const maximumStopSequences = 4

export const generationRequestSchema = z.object({
  prompt: promptSchema,
  /** Tokens to generate at most; null means up to the end of the model's context. 0 with `echo` scores the prompt. */
  maxTokens: z.int().nonnegative().nullable(),
  sampling: samplingSchema,
  stop: z.array(z.string().min(1)).max(16),
  ignoreEos: z.boolean(),
  /** Number of alternatives to report per token; 0 reports the chosen token alone; null reports nothing. */
  logprobs: z.int().min(0).max(maximumTopLogprobs).nullable(),
  /** The prompt is sent back in front of the completion, scored when `logprobs` asks for it. */
  echo: z.boolean(),
})
export type GenerationRequest = z.infer<typeof generationRequestSchema>

export const jobSchema = z.object({
  version: z.literal(jobVersion),
  id: z.string().regex(/^job_[0-9A-Za-z]{24}$/),
  model: modelIdSchema,
  class: jobClassSchema,
  /** Compact JWS, see grant.ts. */
  grant: z.string(),
  /** Unix time in milliseconds after which the job must not run. */
  deadline: z.int(),
  /** The x-request-id of the request that made the job. */
  trace: z.string().max(128),
  request: generationRequestSchema,
})
export type Job = z.infer<typeof jobSchema>
