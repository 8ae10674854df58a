/** `n` and `best_of`: which of the texts that were generated for a prompt become choices, and what all of them cost. */
import type { TokenUsage } from '../openai/answer-format.ts'
import type { ParsedRequest } from '../openai/request-fields.ts'
import type { CollectedText } from './collect-answer.ts'

/**
 * The `choices` best of each prompt's candidates, the best first; all of them, as they are, when none has to go. The best
 * is the one with the highest log-probability per token, as OpenAI defines best_of. A text that was cut off by the
 * content filter comes after every other one, an empty text after every other text that was not.
 */
export function chooseBest(texts: readonly CollectedText[], { requests, candidates, choices }: ParsedRequest): readonly CollectedText[] {
  if (choices === candidates) return texts
  const rated = texts.map((text, index) => ({ text, prompt: Math.floor(index / candidates), rating: rate(text, requests[index]?.echo === true) }))
  return Array.from({ length: texts.length / candidates }, (_, prompt) =>
    rated
      .filter((one) => one.prompt === prompt)
      .toSorted((a, b) => Number(a.text.finishReason === 'content_filter') - Number(b.text.finishReason === 'content_filter') || compare(b.rating, a.rating))
      .slice(0, choices)
      .map(({ text }) => text),
  ).flat()
}

/** Mean log-probability of the generated tokens; an echoed prompt is not rated. */
function rate({ logprobs, usage }: CollectedText, echoed: boolean): number {
  const generated = logprobs.slice(echoed ? (usage?.promptTokens ?? 0) : 0)
  if (generated.length === 0) return Number.NEGATIVE_INFINITY
  return generated.reduce((sum, { logprob }) => sum + (logprob ?? 0), 0) / generated.length
}

/** Unlike a difference, right for two infinities. */
function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** OpenAI's count: a prompt once, whatever was made of it, and every token that was generated, also of texts not chosen. */
export function totalUsage(usages: readonly (TokenUsage | undefined)[], candidates: number): TokenUsage | undefined {
  let total: TokenUsage | undefined = { promptTokens: 0, completionTokens: 0 }
  for (const [index, usage] of usages.entries()) {
    if (usage === undefined) return undefined
    total = {
      promptTokens: total.promptTokens + (index % candidates === 0 ? usage.promptTokens : 0),
      completionTokens: total.completionTokens + usage.completionTokens,
    }
  }
  return total
}
