/**
 * The whole lexicon: every category's entries in one source. It is written for precision: a word alone decides only when it
 * has no innocent use; everything else is a phrase or a pair of phrases, and names of groups of people mean nothing
 * by themselves.
 */
import { context } from './context.ts'
import type { LexiconSource } from './entry.ts'
import { harmfulRequests } from './harmful-requests.ts'
import { hate } from './hate.ts'
import { profanity } from './profanity.ts'
import { selfHarm } from './self-harm.ts'
import { sexualMinors } from './sexual-minors.ts'
import { violence } from './violence.ts'

const sources: readonly LexiconSource[] = [context, hate, violence, sexualMinors, selfHarm, harmfulRequests, profanity]

export const lexicon: LexiconSource = {
  entries: sources.flatMap(({ entries }) => entries),
  parts: Object.assign({}, ...sources.map(({ parts }) => parts)) as LexiconSource['parts'],
  joins: sources.flatMap(({ joins }) => joins),
  exceptions: sources.map(({ exceptions }) => exceptions).join('\n'),
}
