/**
 * Judges a whole text at once: prompts, and completions that are not streamed. A stream goes through the sluice, which
 * runs the same scanner. The only tier so far is the lexicon, so a verdict of `allow` means that no known phrase was
 * found, not that the text is harmless.
 */
import { createCodePointReader } from './code-points.ts'
import { createScanner } from './lexicon/scanner.ts'
import { policyVersion } from './policy.ts'
import type { Policy } from './policy.ts'
import { verdictOf } from './verdict.ts'
import type { Finding, Verdict } from './verdict.ts'

export type { Action, Category, Finding, Verdict } from './verdict.ts'

/** Time is linear in the text's length; any string is accepted, lone surrogates included. Never throws. */
export function moderate(text: string, policy: Policy): Verdict {
  const findings: Finding[] = []
  const scanner = createScanner(policy, (finding) => findings.push(finding))
  const reader = createCodePointReader((codePoint, start, end) => {
    scanner.push(codePoint, start, end)
    return true
  })
  reader.push(text)
  reader.end()
  scanner.end()
  return verdictOf(findings, policyVersion(policy))
}
