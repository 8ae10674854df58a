/**
 * The parameters that completions and chat completions share. A parameter that this gateway does not apply is accepted
 * at the value that changes nothing and refused at any other: a researcher is never told 200 for something ignored.
 * Where OpenAI's schema allows null, null means absent.
 */
import * as z from 'zod'
import { apiError } from '../../shared/errors.ts'
import { maximumBiases, maximumStopSequences } from '../../shared/job.ts'
import type { GenerationRequest, Prompt, Sampling } from '../../shared/job.ts'
import type { ModelRegistration } from '../../shared/model-registration.ts'
import { unsupportedIssue } from './validation.ts'

/** A request of either kind, reduced to what the rest of the edge needs. */
export interface ParsedRequest {
  /** One for each text to be generated; those of one prompt stand side by side. */
  readonly requests: readonly GenerationRequest[]
  /** Texts that are generated for each prompt. */
  readonly candidates: number
  /** How many of them are answered with: all, or the best. */
  readonly choices: number
  /** Whether the answer shows log-probabilities; a choice of the best needs them anyway. */
  readonly withLogprobs: boolean
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

const stopSchema = z
  .preprocess(
    (value) => (typeof value === 'string' ? [value] : value),
    z.array(textSchema.pipe(z.string().min(1, 'a stop sequence must not be empty')), 'must be a string or an array of strings').max(maximumStopSequences, `at most ${maximumStopSequences} stop sequences are allowed`),
  )
  .nullish()

/** Choices per prompt. */
const maximumChoices = 8

/** Texts that one request may have generated. Each is a job, so this bounds what a request puts into the queue at once. */
export const maximumTexts = 32

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
  n: z.int().min(1).max(maximumChoices).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  /** Checked by `readLogitBias`. */
  logit_bias: z.unknown().optional(),
  // Extensions, under vLLM's names. Its -1 and 0 for "no limit" are understood.
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().min(0.1).max(10).nullish(),
  min_tokens: z.int().min(0).nullish(),
  /** Extension: go on past the end-of-text token, for measurements that need an exact number of tokens. */
  ignore_eos: z.boolean().nullish(),
}

interface SharedParameters {
  readonly stream?: boolean | null | undefined
  readonly stream_options?: { readonly include_usage?: boolean | null | undefined } | null | undefined
  readonly temperature?: number | null | undefined
  readonly top_p?: number | null | undefined
  readonly seed?: number | null | undefined
  readonly top_k?: number | null | undefined
  readonly min_p?: number | null | undefined
  readonly frequency_penalty?: number | null | undefined
  readonly presence_penalty?: number | null | undefined
  readonly repetition_penalty?: number | null | undefined
  readonly logit_bias?: unknown
  readonly min_tokens?: number | null | undefined
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

/** Throws `invalid_parameter` for what the schema left to check. `maxTokens` is null where the context is the limit. */
export function samplingOf(parameters: SharedParameters, maxTokens: number | null, model: ModelRegistration): Sampling {
  if (maxTokens !== null && (parameters.min_tokens ?? 0) > maxTokens) {
    throw apiError('invalid_parameter', `Invalid value for 'min_tokens': at most ${maxTokens} tokens are generated.`, { param: 'min_tokens' })
  }
  const { top_k: topK, seed } = parameters
  return {
    temperature: parameters.temperature ?? 1,
    // OpenAI allows 0; the smallest nucleus holds the likeliest token alone, and so does this one.
    topP: Math.max(parameters.top_p ?? 1, Number.EPSILON),
    topK: topK != null && topK > 0 ? topK : undefined,
    minP: parameters.min_p ?? undefined,
    frequencyPenalty: parameters.frequency_penalty ?? undefined,
    presencePenalty: parameters.presence_penalty ?? undefined,
    repetitionPenalty: parameters.repetition_penalty ?? undefined,
    logitBias: readLogitBias(parameters.logit_bias, model),
    minTokens: parameters.min_tokens ?? undefined,
    // OpenAI's seeds may be negative: two's complement in 53 bits maps them onto the job's range.
    seed: seed == null ? randomSeed() : Number(BigInt.asUintN(53, BigInt(seed))),
  }
}

/** OpenAI's `logit_bias`: an object from token ids, as strings, to numbers from -100 to 100. */
function readLogitBias(value: unknown, { vocabularySize }: ModelRegistration): Sampling['logitBias'] {
  if (value === undefined || value === null) return undefined
  const refuse = (requirement: string, param = 'logit_bias'): Error => apiError('invalid_parameter', `Invalid value for '${param}': ${requirement}.`, { param })
  if (typeof value !== 'object' || Array.isArray(value)) throw refuse('it must be an object from token ids to numbers')
  const entries = Object.entries(value)
  if (entries.length > maximumBiases) throw refuse(`it may hold ${maximumBiases} tokens at most`)
  return entries.map(([id, bias]: [string, unknown]): [number, number] => {
    const token = /^(0|[1-9]\d{0,9})$/.test(id) ? Number(id) : vocabularySize
    if (token >= vocabularySize) throw refuse(`its keys must be token ids from 0 to ${vocabularySize - 1}`)
    if (typeof bias !== 'number' || !(Math.abs(bias) <= 100)) throw refuse('it must be a number from -100 to 100', `logit_bias.${id}`)
    return [token, bias]
  })
}

/**
 * The requests for `candidates` texts of each prompt. The i-th candidate of a prompt draws with the seed + i (modulo
 * 2^53), as in vLLM: it is what a request for one text with that seed would be answered with, whatever is beside it.
 */
export function requestsFor(prompts: readonly Prompt[], candidates: number, shared: Omit<GenerationRequest, 'prompt'>): GenerationRequest[] {
  if (prompts.length * candidates > maximumTexts) {
    throw apiError('invalid_parameter', `A request may ask for ${maximumTexts} texts at most: prompts, times n or best_of.`, { param: 'prompt' })
  }
  const seedOf = (index: number): number => Number(BigInt.asUintN(53, BigInt(shared.sampling.seed) + BigInt(index)))
  return prompts.flatMap((prompt) =>
    Array.from({ length: candidates }, (_, index) => ({ ...shared, prompt, sampling: { ...shared.sampling, seed: seedOf(index) } })),
  )
}

/** 53 random bits, all that a JSON number holds exactly. */
function randomSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2))
  return (high >>> 11) * 2 ** 32 + low
}
