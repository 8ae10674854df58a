/** Scored tokens in OpenAI's two formats: four parallel arrays for completions, a list of objects for chat. */
import type { ScoredToken, TokenLogprob } from '../../shared/stream-events.ts'

export interface CompletionLogprobs {
  readonly tokens: readonly string[]
  readonly token_logprobs: readonly (number | null)[]
  /** The likeliest tokens and the chosen one: one element more than asked for when it was not among them. */
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[]
  /** Where each token begins in the choice's whole text, in Unicode code points, as Python counts. */
  readonly text_offset: readonly number[]
}

/** Returns the function that converts the tokens of one answer, batch by batch: offsets count on from batch to batch. */
export function createCompletionLogprobs(): (tokens: readonly ScoredToken[]) => CompletionLogprobs {
  const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })
  let offset = 0
  return (tokens) => ({
    tokens: tokens.map(completionTokenText),
    token_logprobs: tokens.map((token) => token.logprob),
    top_logprobs: tokens.map((token) => (token.logprob === null ? null : topLogprobs(token))),
    text_offset: tokens.map((token) => {
      const start = offset
      // A token may end inside a character: the decoder holds those bytes back, and the next token begins there.
      for (const _ of decoder.decode(Uint8Array.from(token.bytes), { stream: true })) offset += 1
      return start
    }),
  })
}

function topLogprobs(token: ScoredToken): Record<string, number> {
  const scored = [...token.top, token].flatMap((one) => (one.logprob === null ? [] : [[completionTokenText(one), one.logprob] as const]))
  // fromEntries defines own properties, also for a token whose text is "__proto__".
  return Object.fromEntries(scored)
}

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** OpenAI's completions show a token that is not UTF-8 on its own as `bytes:\xe2\x80`, which keeps such tokens apart. */
function completionTokenText({ token, bytes }: TokenLogprob): string {
  if (!token.includes('\u{fffd}')) return token
  try {
    return strictDecoder.decode(Uint8Array.from(bytes))
  } catch {
    return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`
  }
}

export interface ChatTokenLogprob {
  readonly token: string
  readonly logprob: number
  readonly bytes: readonly number[]
}

export interface ChatScoredToken extends ChatTokenLogprob {
  readonly top_logprobs: readonly ChatTokenLogprob[]
}

export function chatLogprobs(tokens: readonly ScoredToken[]): readonly ChatScoredToken[] {
  return tokens.map((token) => ({ ...chatTokenLogprob(token), top_logprobs: token.top.map(chatTokenLogprob) }))
}

/** OpenAI's stand-in for "next to impossible"; a generated token always has a score of its own. */
const unlikely = -9999

function chatTokenLogprob({ token, logprob, bytes }: TokenLogprob): ChatTokenLogprob {
  return { token, logprob: logprob ?? unlikely, bytes }
}
