/**
 * Turns a job's prompt into the tokens of the forward pass, or says why it can not be run. A prompt that came as text
 * was moderated at the edge, which can not read tokens: a prompt of token ids is decoded and moderated here.
 */
import { moderate } from '../../safety/moderate.ts'
import type { Policy } from '../../safety/policy.ts'
import { apiError } from '../../shared/errors.ts'
import type { GenerationRequest } from '../../shared/job.ts'
import type { EngineDescription } from '../engine/engine.ts'
import type { Tokenizer } from '../engine/tokenizer.ts'

export interface PreparedPrompt {
  /** At least one. */
  readonly tokens: readonly number[]
  /** How many at the front are ours and not the client's: 1 when the prompt was empty, else 0. */
  readonly startTokens: number
  /** Tokens to generate at most; with the prompt they fit the context. */
  readonly maxTokens: number
}

/** Throws `ApiError`: `invalid_parameter`, `content_filter`, `context_length_exceeded`. */
export type PreparePrompt = (request: Pick<GenerationRequest, 'prompt' | 'maxTokens'>) => PreparedPrompt

/** Returns the function that prepares prompts for one model. */
export function createPromptPreparation(
  tokenizer: Tokenizer,
  { contextLength, vocabularySize, endTokens }: Pick<EngineDescription, 'contextLength' | 'vocabularySize' | 'endTokens'>,
  policy: Policy,
): PreparePrompt {
  let mostBytes = 1
  for (let token = 0; token < tokenizer.vocabularySize; token += 1) mostBytes = Math.max(mostBytes, tokenizer.tokenBytes(token).length)

  /** A text that can not fit is not tokenised: that would hold up every other job for as long. */
  function encode(text: string, maxTokens: number | null): readonly number[] {
    checkContext(Math.ceil(Buffer.byteLength(text) / mostBytes), maxTokens, contextLength, 'at least ')
    return tokenizer.encode(text)
  }

  function readTokens(tokens: readonly number[], maxTokens: number | null): readonly number[] {
    checkRange(tokens, vocabularySize)
    checkContext(tokens.length, maxTokens, contextLength)
    const { action } = moderate(tokenizer.decode(tokens), policy)
    if (action === 'block') throw apiError('content_filter', 'The prompt was refused by the content filter.', { param: 'prompt' })
    return tokens
  }

  return ({ prompt, maxTokens }) => {
    const own = prompt.type === 'text' ? encode(prompt.text, maxTokens) : readTokens(prompt.tokens, maxTokens)
    const tokens = own.length > 0 ? own : startOfText(endTokens)
    return { tokens, startTokens: tokens.length - own.length, maxTokens: checkContext(tokens.length, maxTokens, contextLength) }
  }
}

/** Phi marks the start of a text with the token that ends one, as GPT-2 does. */
function startOfText(endTokens: readonly number[]): readonly number[] {
  const [token] = endTokens
  if (token === undefined) throw apiError('invalid_parameter', 'This model can not start from an empty prompt.', { param: 'prompt' })
  return [token]
}

function checkRange(tokens: readonly number[], vocabularySize: number): void {
  const beyond = tokens.find((token) => token >= vocabularySize)
  if (beyond === undefined) return
  throw apiError('invalid_parameter', `Token ${beyond} does not exist: this model's tokens are 0 to ${vocabularySize - 1}.`, { param: 'prompt' })
}

/** Returns how many tokens may be generated. `bound` says that the prompt has that many tokens or more. */
function checkContext(promptTokens: number, maxTokens: number | null, contextLength: number, bound = ''): number {
  const limit = `This model's maximum context length is ${contextLength} tokens`
  if (maxTokens === null) {
    if (promptTokens < contextLength) return contextLength - promptTokens
    throw apiError(
      'context_length_exceeded',
      `${limit}, and your prompt has ${bound}${promptTokens}, which leaves no room for a completion. Please shorten it.`,
      { param: 'prompt' },
    )
  }
  if (promptTokens + maxTokens <= contextLength) return maxTokens
  throw apiError(
    'context_length_exceeded',
    `${limit}, but you asked for ${bound}${promptTokens + maxTokens}: ${bound}${promptTokens} in the prompt and ${maxTokens} for the completion. Please reduce one of them.`,
    { param: promptTokens > contextLength ? 'prompt' : 'max_tokens' },
  )
}
