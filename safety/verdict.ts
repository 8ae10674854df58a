/**
 * What moderation says about a text: the findings, each with the rule and the place that caused it, and the one action
 * that follows. A verdict names rules and places, never the text itself, so it may be logged and sent to clients.
 */

/** From the mildest to the strictest. */
export const actions = ['allow', 'annotate', 'redact', 'review', 'block'] as const
export type Action = (typeof actions)[number]

export const categories = [
  'hate',
  'violence',
  'sexual-minors',
  'self-harm',
  'harmful-request',
  'profanity',
  /** Text built to get past a filter: long runs of invisible characters, padding. */
  'evasion',
  /** The operator's own phrases. */
  'blocklist',
] as const
export type Category = (typeof categories)[number]

export interface Finding {
  readonly category: Category
  readonly rule: string
  readonly tier: 'lexicon'
  /** 0 to 1; compared with the thresholds of the category. */
  readonly score: number
  /** UTF-16 indices [start, end) in the original text; for a stream, counted from its first character. */
  readonly span: readonly [start: number, end: number]
  readonly action: Action
}

export interface Verdict {
  readonly action: Action
  readonly findings: readonly Finding[]
  readonly policyVersion: string
}

export function stricter(one: Action, other: Action): Action {
  return actions.indexOf(one) >= actions.indexOf(other) ? one : other
}

export function milder(one: Action, other: Action): Action {
  return stricter(one, other) === one ? other : one
}

/** The verdict over some findings: the strictest of their actions wins; without findings the text is allowed. */
export function verdictOf(findings: readonly Finding[], policyVersion: string): Verdict {
  return { action: findings.reduce<Action>((action, finding) => stricter(action, finding.action), 'allow'), findings, policyVersion }
}
