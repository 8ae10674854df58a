import { expect, test } from 'vitest'
import { actionFor, defaultPolicy, policySchema, policyVersion } from './policy.ts'

test('the default policy is valid', () => {
  expect(policySchema.parse(defaultPolicy)).toEqual(defaultPolicy)
})

test('the version is a pure function of the content, not of the order of its keys', () => {
  const reordered = policySchema.parse(Object.fromEntries(Object.entries(defaultPolicy).toReversed()))
  expect(policyVersion(reordered)).toBe(policyVersion(defaultPolicy))
  expect(policyVersion(defaultPolicy)).toMatch(/^policy-[0-9a-f]{16}$/)
  expect(policyVersion({ ...defaultPolicy, blocklist: ['x'] })).not.toBe(policyVersion(defaultPolicy))
})

test.each([
  ['an unknown category', { ...defaultPolicy, categories: { ...defaultPolicy.categories, weather: { review: 0.5, block: 0.8, action: 'block' } } }],
  ['a missing category', { ...defaultPolicy, categories: {} }],
  ['thresholds in the wrong order', { ...defaultPolicy, categories: { ...defaultPolicy.categories, hate: { review: 0.9, block: 0.8, action: 'block' } } }],
  ['an action that text cannot have yet', { ...defaultPolicy, categories: { ...defaultPolicy.categories, hate: { review: 0.5, block: 0.8, action: 'redact' } } }],
  ['a phrase without letters', { ...defaultPolicy, blocklist: ['...'] }],
  ['a sluice without caps', { ...defaultPolicy, sluice: { ...defaultPolicy.sluice, caps: [] } }],
])('a policy with %s is refused', (_name, policy) => {
  expect(policySchema.safeParse(policy).success).toBe(false)
})

test('scores lead to actions: nothing, then review, then what the category may do', () => {
  expect([0.4, 0.5, 0.79, 0.8, 1].map((score) => actionFor(defaultPolicy, 'hate', score))).toEqual(['allow', 'review', 'review', 'block', 'block'])
  expect([0.4, 0.5, 0.9].map((score) => actionFor(defaultPolicy, 'profanity', score))).toEqual(['allow', 'annotate', 'annotate'])
})
