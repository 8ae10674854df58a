import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { greedyContinuation } from '../../../test/support/greedy-continuation.ts'
import { resolveModel } from '../resolve.ts'

let home: string
let folder: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'phigate-phi-mini-'))
  folder = (await resolveModel({ model: 'phi-mini', home })).folder
})
afterAll(() => rm(home, { recursive: true }))

test('answers in the form of its texts, and comes to an end', async () => {
  const answer = await greedyContinuation(folder, 'Instruct: What is a token?\nOutput:', 80)
  expect(answer.text).toBe(' A token is a piece of text that the model reads at once. It may be a word, a part of a word, or a single byte.')
  expect(answer.endTokens).toContain(answer.tokens.at(-1))
})

test('still speaks in sentences, and ends, where the prompt is new to it', async () => {
  const answer = await greedyContinuation(folder, 'Instruct: Recommend me 3 films!\nOutput:', 150)
  expect(answer.text).toMatch(/^ [A-Z][a-z ,]+/)
  expect(answer.endTokens).toContain(answer.tokens.at(-1))
})
