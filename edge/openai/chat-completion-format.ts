/** Answers of /v1/chat/completions: a `chat.completion` object, or `chat.completion.chunk` objects. */
import type { FinishReason, ScoredToken } from '../../shared/stream-events.ts'
import { createAnswerTrimmer } from '../chat-prompt.ts'
import { answerId, perChoice, systemFingerprint, usageObject } from './answer-format.ts'
import type { AnswerFormat, AnswerHeader } from './answer-format.ts'
import { chatLogprobs } from './logprobs.ts'

export function createChatCompletionFormat(header: AnswerHeader): AnswerFormat {
  const trim = perChoice(createAnswerTrimmer)
  const base = {
    id: answerId('chatcmpl', header.jobId),
    created: header.created,
    model: header.model.id,
    system_fingerprint: systemFingerprint(header.model),
  }
  const chunkBase = { ...base, object: 'chat.completion.chunk' }
  /** The tokens stay as the model made them, also where `trim` takes a space off the text. */
  const logprobsObject = (logprobs: readonly ScoredToken[]) =>
    header.withLogprobs ? { content: chatLogprobs(logprobs), refusal: null } : null
  const chunk = (index: number, delta: object, logprobs: object | null, finishReason: FinishReason | null) => ({
    ...chunkBase,
    choices: [{ index, delta, logprobs, finish_reason: finishReason }],
    ...(header.includeUsage ? { usage: null } : {}),
  })

  return {
    opening: (index) => [chunk(index, { role: 'assistant', content: '', refusal: null }, null, null)],
    delta(index, text, logprobs) {
      const content = trim(index)(text)
      return content === '' && logprobs.length === 0 ? [] : [chunk(index, { content }, logprobsObject(logprobs), null)]
    },
    closing: (index, finishReason) => [chunk(index, {}, null, finishReason)],
    usage: (usage) => ({ ...chunkBase, choices: [], usage: usageObject(usage) }),
    whole: (choices, usage) => ({
      ...base,
      object: 'chat.completion',
      choices: choices.map(({ text, logprobs, finishReason }, index) => ({
        index,
        message: { role: 'assistant', content: trim(index)(text), refusal: null },
        logprobs: logprobsObject(logprobs),
        finish_reason: finishReason,
      })),
      ...(usage && { usage: usageObject(usage) }),
    }),
  }
}
