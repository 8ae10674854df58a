/** Answers of /v1/completions: `text_completion` objects, whole or in chunks, which share one shape. */
import type { FinishReason } from '../../shared/stream-events.ts'
import { answerId, systemFingerprint, usageObject } from './answer-format.ts'
import type { AnswerFormat, AnswerHeader } from './answer-format.ts'
import { createCompletionLogprobs } from './logprobs.ts'
import type { CompletionLogprobs } from './logprobs.ts'

export function createCompletionFormat(header: AnswerHeader): AnswerFormat {
  const convertLogprobs = createCompletionLogprobs()
  const base = {
    id: answerId('cmpl', header.jobId),
    object: 'text_completion',
    created: header.created,
    model: header.model.id,
    system_fingerprint: systemFingerprint(header.model),
  }
  const choice = (text: string, logprobs: CompletionLogprobs | null, finishReason: FinishReason | null) => ({
    index: 0,
    text,
    logprobs,
    finish_reason: finishReason,
  })
  const chunk = (...choices: object[]) => ({ ...base, choices, ...(header.includeUsage ? { usage: null } : {}) })

  return {
    opening: () => [],
    delta: (text, logprobs) =>
      text === '' && logprobs.length === 0 ? [] : [chunk(choice(text, header.withLogprobs ? convertLogprobs(logprobs) : null, null))],
    closing: (finishReason) => [chunk(choice('', null, finishReason))],
    usage: (usage) => ({ ...base, choices: [], usage: usageObject(usage) }),
    whole: ({ text, logprobs, finishReason, usage }) => ({
      ...base,
      choices: [choice(text, header.withLogprobs ? convertLogprobs(logprobs) : null, finishReason)],
      ...(usage && { usage: usageObject(usage) }),
    }),
  }
}
