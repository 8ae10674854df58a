/** Answers of /v1/chat/completions: a `chat.completion` object, or `chat.completion.chunk` objects. */
import type { FinishReason, ScoredToken } from '../../shared/stream-events.ts'
import { createAnswerTrimmer } from '../chat-prompt.ts'
import { answerId, systemFingerprint, usageObject } from './answer-format.ts'
import type { AnswerFormat, AnswerHeader } from './answer-format.ts'
import { chatLogprobs } from './logprobs.ts'

export function createChatCompletionFormat(header: AnswerHeader): AnswerFormat {
  const trim = createAnswerTrimmer()
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
  const chunk = (delta: object, logprobs: object | null, finishReason: FinishReason | null) => ({
    ...chunkBase,
    choices: [{ index: 0, delta, logprobs, finish_reason: finishReason }],
    ...(header.includeUsage ? { usage: null } : {}),
  })

  return {
    opening: () => [chunk({ role: 'assistant', content: '', refusal: null }, null, null)],
    delta(text, logprobs) {
      const content = trim(text)
      return content === '' && logprobs.length === 0 ? [] : [chunk({ content }, logprobsObject(logprobs), null)]
    },
    closing: (finishReason) => [chunk({}, null, finishReason)],
    usage: (usage) => ({ ...chunkBase, choices: [], usage: usageObject(usage) }),
    whole: ({ text, logprobs, finishReason, usage }) => ({
      ...base,
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: trim(text), refusal: null },
          logprobs: logprobsObject(logprobs),
          finish_reason: finishReason,
        },
      ],
      ...(usage && { usage: usageObject(usage) }),
    }),
  }
}
