/**
 * A policy is data: what is a violation, and what follows from it. Rules give scores; the policy alone turns a score into
 * an action, so an operator changes behaviour without touching a rule. Every verdict carries the policy's version.
 */
import * as z from 'zod'
import { actions, categories, milder } from './verdict.ts'
import type { Action, Category } from './verdict.ts'

const threshold = z.number().min(0).max(1)

const categoryPolicySchema = z
  .object({
    /** From this score on, the milder of `review` and `action` follows. */
    review: threshold,
    /** From this score on, `action` follows. */
    block: threshold,
    /** The strictest thing that this category may do. Text is not rewritten, so `redact` is not on offer. */
    action: z.enum(actions).exclude(['redact']),
  })
  .refine(({ review, block }) => review <= block, { error: 'The review threshold must not lie above the block threshold.' })
export type CategoryPolicy = z.infer<typeof categoryPolicySchema>

/** One phrase of the operator: matched as whole words, with the same tolerance for disguise as the lexicon. */
const phraseSchema = z
  .string()
  .max(120)
  .regex(/[\p{L}\p{N}]/u, { error: 'A phrase needs at least one letter or digit.' })

const sluicePolicySchema = z.object({
  /** `streaming` releases segment by segment; `strict` holds all text until the end. */
  mode: z.enum(['streaming', 'strict']),
  /** Longest first, second, … segment in UTF-16 units; the last one applies to all that follow. */
  caps: z.array(z.int().min(16).max(4096)).min(1),
  /** How far back, in UTF-16 units, a rule of two parts may reach; that much text can be held for it. */
  contextCharacters: z.int().min(0).max(4096),
  /** Text that would have to be held beyond this many UTF-16 units is blocked. */
  maximumHeldCharacters: z.int().min(16_384),
})
export type SluicePolicy = z.infer<typeof sluicePolicySchema>

export const policySchema = z.object({
  format: z.literal(1),
  categories: z.record(z.enum(categories), categoryPolicySchema),
  /** Phrases that block wherever they occur. */
  blocklist: z.array(phraseSchema).max(10_000),
  /** Phrases inside which no rule of the lexicon fires. The blocklist is stronger. */
  allowlist: z.array(phraseSchema).max(10_000),
  sluice: sluicePolicySchema,
})
export type Policy = z.infer<typeof policySchema>

const decides: CategoryPolicy = { review: 0.5, block: 0.8, action: 'block' }

export const defaultPolicy: Policy = {
  format: 1,
  categories: {
    hate: decides,
    violence: decides,
    'sexual-minors': decides,
    'self-harm': decides,
    'harmful-request': decides,
    profanity: { review: 0.5, block: 0.8, action: 'annotate' },
    evasion: decides,
    blocklist: decides,
  },
  blocklist: [],
  allowlist: [],
  sluice: { mode: 'streaming', caps: [48, 96, 160], contextCharacters: 240, maximumHeldCharacters: 1_048_576 },
}

/** What the policy does about a score in a category. */
export function actionFor(policy: Policy, category: Category, score: number): Action {
  const { review, block, action } = policy.categories[category]
  if (score >= block) return action
  return score >= review ? milder('review', action) : 'allow'
}

const versions = new WeakMap<Policy, string>()

/**
 * A label for the policy's content, `policy-<16 hexadecimal digits>`: FNV-1a (64 bit, http://www.isthe.com/chongo/tech/comp/fnv/)
 * over its JSON with sorted keys. It is a name and not a seal: it does not resist someone who wants two policies to
 * share a label. A policy must not be changed in place once it is in use.
 */
export function policyVersion(policy: Policy): string {
  const known = versions.get(policy)
  if (known !== undefined) return known
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(canonicalJson(policy))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  }
  const version = `policy-${hash.toString(16).padStart(16, '0')}`
  versions.set(policy, version)
  return version
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
}
