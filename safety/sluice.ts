/**
 * The sluice: the one place where text waits until it may leave. Text goes in as it is generated and comes out, unchanged
 * and in order, once two locks are open: the segment it stands in is complete (segments.ts), and no phrase that it may be
 * part of can still be completed (lexicon/scanner.ts). At the first finding that blocks, nothing more ever leaves, so no
 * character of a blocked span is released, however the text was cut into chunks: each character is judged as if it had
 * come alone, and what leaves is a function of the characters before it.
 *
 * It does not rewrite text and does not know tokens, stop sequences or half UTF-8 characters.
 */
import { createCodePointReader } from './code-points.ts'
import { createScanner } from './lexicon/scanner.ts'
import { policyVersion } from './policy.ts'
import type { Policy } from './policy.ts'
import { createSegmenter } from './segments.ts'
import { verdictOf } from './verdict.ts'
import type { Finding, Verdict } from './verdict.ts'

export interface SluiceOutput {
  /** The next part of the text, as it went in. Empty when nothing may leave yet. */
  readonly released: string
  /**
   * What was found since the last output, or null. Spans count from the start of the stream. When its action is `block`
   * the stream is over, and every later output repeats this verdict.
   */
  readonly verdict: Verdict | null
}

export interface Sluice {
  /** Takes the next chunk, which may end in half a surrogate pair. Throws after `end`. */
  push(text: string): SluiceOutput
  /** The text is complete: releases the rest or blocks it. */
  end(): SluiceOutput
  /** UTF-16 units that went in and have not left. After a block they never will. */
  readonly heldCharacters: number
}

export function createSluice(policy: Policy): Sluice {
  const { mode, caps, maximumHeldCharacters } = policy.sluice
  const version = policyVersion(policy)
  const segmenter = createSegmenter(caps)
  let held = ''
  /** UTF-16 units that have left, and that may leave: indices into the whole text. */
  let releasedTo = 0
  let releasableTo = 0
  let segmentsEnd = 0
  let findings: Finding[] = []
  let blocked: Verdict | null = null
  let ended = false

  const scanner = createScanner(policy, (finding) => {
    if (blocked !== null) return
    findings.push(finding)
    if (finding.action === 'block') blocked = verdictOf([finding], version)
  })

  const reader = createCodePointReader((codePoint, start, end) => {
    scanner.push(codePoint, start, end)
    if (blocked !== null) return false
    if (mode === 'streaming') {
      segmentsEnd = segmenter.push(codePoint, start, end) ?? segmentsEnd
      if (releasableTo < segmentsEnd) releasableTo = Math.max(releasableTo, Math.min(segmentsEnd, scanner.settled()))
    }
    if (end - releasableTo > maximumHeldCharacters) {
      const finding: Finding = { category: 'evasion', rule: 'held-too-long', tier: 'lexicon', score: 1, span: [releasableTo, end], action: 'block' }
      findings.push(finding)
      blocked = verdictOf([finding], version)
    }
    return blocked === null
  })

  const takeOutput = (): SluiceOutput => {
    const verdict = findings.length > 0 ? verdictOf(findings, version) : blocked
    findings = []
    if (releasableTo === releasedTo) return { released: '', verdict }
    const released = held.slice(0, releasableTo - releasedTo)
    held = held.slice(released.length)
    releasedTo = releasableTo
    return { released, verdict }
  }

  return {
    push(text) {
      if (ended) throw new Error('The sluice has ended.')
      if (blocked === null) {
        held += text
        reader.push(text)
      }
      return takeOutput()
    },
    end() {
      if (blocked === null && !ended) {
        reader.end()
        if (blocked === null) scanner.end()
        if (blocked === null) releasableTo = releasedTo + held.length
      }
      ended = true
      return takeOutput()
    },
    get heldCharacters() {
      return held.length
    },
  }
}
