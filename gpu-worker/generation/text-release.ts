/**
 * The one way out for a job's text. Tokens go in as they are sampled; out come the events that may be published:
 *
 *     tokens → whole characters → up to a stop sequence → sluice (moderation) → delta
 *
 * A token's score is held until all of the token's text has been released, so the scores of withheld text never leave.
 * After `blocked` or `stopped` nothing more goes in or out.
 */
import type { Policy } from '../../safety/policy.ts'
import { createSluice } from '../../safety/sluice.ts'
import type { SluiceOutput } from '../../safety/sluice.ts'
import type { Finding } from '../../safety/verdict.ts'
import type { StreamEvent } from '../../shared/stream-events.ts'
import type { TokenScore } from '../engine/engine.ts'
import { createStopMatcher } from '../engine/stop-sequences.ts'
import { createDetokenizer } from '../engine/tokenizer.ts'
import type { Tokenizer } from '../engine/tokenizer.ts'
import { scoredToken } from './scored-token.ts'

/** `stopped`: a stop sequence was met. `blocked`: moderation withholds what comes next. */
export type ReleaseState = 'open' | 'stopped' | 'blocked'

export interface TextRelease {
  /** Sends the prompt's tokens out in front, with their scores when they were asked for. Stop sequences do not apply to it. */
  pushPrompt(tokens: readonly number[], scores: readonly TokenScore[] | null): void
  pushToken(token: number, score: TokenScore | null): void
  /** No more tokens come: lets go of all that was held back in case more came, unless it is blocked. */
  end(): void
  readonly state: ReleaseState
  /** The events that may be published since the last call. */
  take(): StreamEvent[]
}

export interface TextReleaseOptions {
  readonly tokenizer: Tokenizer
  readonly stop: readonly string[]
  /** Tokens in whose text stop sequences are not looked for. */
  readonly minTokens: number
  readonly policy: Policy
  /** Whether deltas carry scores. */
  readonly scored: boolean
}

export function createTextRelease({ tokenizer, stop, minTokens, policy, scored }: TextReleaseOptions): TextRelease {
  const detokenizer = createDetokenizer(tokenizer)
  const stopMatcher = createStopMatcher(stop)
  const sluice = createSluice(policy)
  let state: ReleaseState = 'open'
  let events: StreamEvent[] = []
  /** UTF-16 units of text: those that the tokens so far stand for, and those that have left the sluice. */
  let detokenized = 0
  let released = 0
  let held: HeldScore[] = []
  let pushedTokens = 0

  function detokenize(token: number, score: TokenScore | null): string {
    const text = detokenizer.push(token)
    detokenized += text.length
    const reachesOn = text === '' || endsInCharacter(tokenizer.tokenBytes(token))
    if (score !== null) held.push({ after: reachesOn ? detokenized + 1 : detokenized, score })
    return text
  }

  function publish({ released: text, verdict }: SluiceOutput): void {
    released += text.length
    const firstHeld = held.findIndex(({ after }) => after > released)
    publishDelta(text, held.splice(0, firstHeld === -1 ? held.length : firstHeld))
    if (verdict === null || verdict.action === 'allow') return
    const { action, findings, policyVersion } = verdict
    if (action === 'block') state = 'blocked'
    events.push({ type: 'moderation', action, categories: namesOf(findings, 'category'), rules: namesOf(findings, 'rule'), policyVersion })
  }

  function publishDelta(text: string, scores: readonly HeldScore[]): void {
    if (text === '' && scores.length === 0) return
    events.push({ type: 'delta', text, ...(scored && { logprobs: scores.map(({ score }) => scoredToken(score, tokenizer)) }) })
  }

  function pushCompletion(text: string): void {
    const { text: free, stopped } = stopMatcher.push(text)
    publish(sluice.push(free))
    if (!stopped || state === 'blocked') return
    // What follows the stop sequence is not part of the text, and neither are the scores of tokens that reach into it.
    publish(sluice.end())
    if (state === 'open') state = 'stopped'
  }

  return {
    pushPrompt(tokens, scores) {
      if (state !== 'open') return
      publish(sluice.push(tokens.map((token, index) => detokenize(token, scores?.[index] ?? null)).join('')))
    },
    pushToken(token, score) {
      if (state !== 'open') return
      pushedTokens += 1
      const text = detokenize(token, score)
      if (pushedTokens > minTokens) pushCompletion(text)
      else publish(sluice.push(text))
    },
    end() {
      if (state === 'open') pushCompletion(detokenizer.end())
      if (state === 'open') publish(sluice.push(stopMatcher.end()))
      if (state === 'open') publish(sluice.end())
      // Tokens at the very end that stand for no text.
      if (state === 'open') publishDelta('', held.splice(0))
    },
    get state() {
      return state
    },
    take() {
      const taken = events
      events = []
      return taken
    },
  }
}

/** A score and how much of the text must have been released before it may be. */
interface HeldScore {
  readonly after: number
  readonly score: TokenScore
}

/** Whether the last character of these bytes is not complete. */
function endsInCharacter(bytes: Uint8Array): boolean {
  for (let back = 1; back <= 3; back += 1) {
    const byte = bytes.at(-back) ?? 0
    // RFC 3629: 10xxxxxx goes on, and the first byte says how many there are.
    if ((byte & 0xc0) !== 0x80) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1)
  }
  return false
}

function namesOf<Key extends 'category' | 'rule'>(findings: readonly Finding[], key: Key): string[] {
  return [...new Set(findings.map((finding) => finding[key]))]
}
