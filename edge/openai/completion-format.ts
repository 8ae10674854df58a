/** Answers of /v1/completions: `text_completion` objects, whole or in chunks, which share one shape. */
import type { FinishReason } from '../../shared/stream-events.ts'
import { answerId, perChoice, systemFingerprint, usageObject } from './answer-format.ts'
import type { AnswerFormat, AnswerHeader } from './answer-format.ts'
import { createCompletionLogprobs } from './logprobs.ts'
import type { CompletionLogprobs } from './logprobs.ts'

export function createCompletionFormat(header: AnswerHeader): AnswerFormat {
  const convertLogprobs = perChoice(createCompletionLogprobs)
  const base = {
    id: answerId('cmpl', header.jobId),
    object: 'text_completion',
    created: header.created,
    model: header.model.id,
    system_fingerprint: systemFingerprint(header.model),
  }
  const choice = (index: number, text: string, logprobs: CompletionLogprobs | null, finishReason: FinishReason | null) => ({
    index,
    text,
    logprobs,
    finish_reason: finishReason,
  })
  const chunk = (...choices: object[]) => ({ ...base, choices, ...(header.includeUsage ? { usage: null } : {}) })

  return {
    opening: () => [],
    delta: (index, text, logprobs) =>
      text === '' && logprobs.length === 0 ? [] : [chunk(choice(index, text, header.withLogprobs ? convertLogprobs(index)(logprobs) : null, null))],
    closing: (index, finishReason) => [chunk(choice(index, '', null, finishReason))],
    usage: (usage) => ({ ...base, choices: [], usage: usageObject(usage) }),
    whole: (choices, usage) => ({
      ...base,
      choices: choices.map(({ text, logprobs, finishReason }, index) =>
        choice(index, text, header.withLogprobs ? convertLogprobs(index)(logprobs) : null, finishReason),
      ),
      ...(usage && { usage: usageObject(usage) }),
    }),
  }
}
