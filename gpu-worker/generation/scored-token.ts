/** A token's score with the token's text, as clients see it. */
import type { ScoredToken, TokenLogprob } from '../../shared/stream-events.ts'
import type { TokenScore } from '../engine/engine.ts'
import type { Tokenizer } from '../engine/tokenizer.ts'

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export function scoredToken(score: TokenScore, tokenizer: Tokenizer): ScoredToken {
  const named = (token: number, logprob: number | null): TokenLogprob => {
    const bytes = tokenizer.tokenBytes(token)
    return { token: decoder.decode(bytes), bytes: [...bytes], logprob }
  }
  return { ...named(score.token, score.logprob), top: score.top.map(({ token, logprob }) => named(token, logprob)) }
}
