/**
 * The parameters that completions and chat completions share. A parameter that this gateway does not apply is accepted
 * at the value that changes nothing and refused at any other: a researcher is never told 200 for something ignored.
 * Where OpenAI's schema allows null, null means absent.
 */
import * as z from 'zod'
import { maximumStopSequences } from '../../shared/job.ts'
import type { GenerationRequest, Sampling } from '../../shared/job.ts'
import { unsupportedIssue } from './validation.ts'

/** A request of either kind, reduced to what the rest of the edge needs. */
export interface ParsedRequest {
  readonly request: GenerationRequest
  readonly stream: boolean
  readonly includeUsage: boolean
  /** Every text of the client that the model will see, and where it stood; empty when the prompt came as token ids. */
  readonly textsToModerate: readonly { readonly param: string; readonly text: string }[]
}

/** Accepts null, absence and the values for which `isNeutral` holds; anything else is `unsupported_parameter`. */
export function onlyNeutral(explanation: string, isNeutral: (value: unknown) => boolean = () => false) {
  return z.unknown().superRefine((value, context) => {
    if (value !== undefined && value !== null && !isNeutral(value)) context.addIssue(unsupportedIssue(explanation))
  }).optional()
}

export const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0
export const isEmptyObject = (value: unknown): boolean => typeof value === 'object' && value !== null && Object.keys(value).length === 0

/** A lone surrogate has no UTF-8 form; it becomes U+FFFD here, so that text, hash and tokens agree everywhere. */
export const textSchema = z.string().transform((text) => text.toWellFormed())

const penalty = z
  .number()
  .min(-2)
  .max(2)
  .superRefine((value, context) => {
    if (value !== 0) context.addIssue(unsupportedIssue('Penalties are not applied by this gateway; leave them at 0.'))
  })
  .nullish()

const stopSchema = z
  .preprocess(
    (value) => (typeof value === 'string' ? [value] : value),
    z.array(textSchema.pipe(z.string().min(1, 'a stop sequence must not be empty')), 'must be a string or an array of strings').max(maximumStopSequences, `at most ${maximumStopSequences} stop sequences are allowed`),
  )
  .nullish()

export const sharedFields = {
  model: z.string(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().nullish(),
      include_obfuscation: onlyNeutral('Stream obfuscation is not offered by this gateway.', (value) => value === false),
    })
    .nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: stopSchema,
  user: z.string().nullish(),
  n: z
    .int()
    .min(1)
    .superRefine((value, context) => {
      if (value > 1) context.addIssue(unsupportedIssue('Only one choice per request is offered; send several requests instead.'))
    })
    .nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  logit_bias: onlyNeutral('Logit bias is not applied by this gateway.', isEmptyObject),
  /** Extension: go on past the end-of-text token, for measurements that need an exact number of tokens. */
  ignore_eos: z.boolean().nullish(),
}

interface SharedParameters {
  readonly stream?: boolean | null | undefined
  readonly stream_options?: { readonly include_usage?: boolean | null | undefined } | null | undefined
  readonly temperature?: number | null | undefined
  readonly top_p?: number | null | undefined
  readonly seed?: number | null | undefined
}

/** OpenAI refuses stream_options without stream; to be used as a refinement of a whole request. */
export function checkStreamOptions(parameters: SharedParameters, context: z.core.$RefinementCtx): void {
  if (parameters.stream_options != null && parameters.stream !== true) {
    context.addIssue({ code: 'custom', path: ['stream_options'], message: 'it is only allowed when stream is true' })
  }
}

export function streamingOf(parameters: SharedParameters): Pick<ParsedRequest, 'stream' | 'includeUsage'> {
  return { stream: parameters.stream === true, includeUsage: parameters.stream_options?.include_usage === true }
}

export function samplingOf({ temperature, top_p: topP, seed }: SharedParameters): Sampling {
  return {
    temperature: temperature ?? 1,
    // OpenAI allows 0; the smallest nucleus holds the likeliest token alone, and so does this one.
    topP: Math.max(topP ?? 1, Number.EPSILON),
    // OpenAI's seeds may be negative: two's complement in 53 bits maps them onto the job's range.
    seed: seed == null ? randomSeed() : Number(BigInt.asUintN(53, BigInt(seed))),
  }
}

/** 53 random bits, all that a JSON number holds exactly. */
function randomSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2))
  return (high >>> 11) * 2 ** 32 + low
}
