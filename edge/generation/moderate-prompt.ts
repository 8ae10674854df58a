import { moderate } from '../../safety/moderate.ts'
import type { Policy } from '../../safety/policy.ts'
import { apiError } from '../../shared/errors.ts'
import type { ParsedRequest } from '../openai/request-fields.ts'

/** Throws `content_filter` when policy blocks one of the texts. The message names categories and rules, never the text. */
export function moderatePrompt(texts: ParsedRequest['textsToModerate'], policy: Policy): void {
  for (const { param, text } of texts) {
    const verdict = moderate(text, policy)
    if (verdict.action !== 'block') continue
    const blocking = verdict.findings.filter((finding) => finding.action === 'block')
    const categories = unique(blocking.map((finding) => finding.category))
    const rules = unique(blocking.map((finding) => finding.rule))
    throw apiError(
      'content_filter',
      `The prompt was refused by the content policy (${verdict.policyVersion}). Categories: ${categories}. Rules: ${rules}.`,
      { param },
    )
  }
}

function unique(names: readonly string[]): string {
  return [...new Set(names)].join(', ')
}
