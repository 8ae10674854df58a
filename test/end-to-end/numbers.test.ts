import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tinyConfiguration, writeRandomCheckpoint } from '../../gpu-worker/model/random-checkpoint.ts'
import { loadReferencePhi } from '../support/reference-phi.ts'
import type { ReferenceModel } from '../support/reference-phi.ts'
import { serveCheckpoint } from '../support/system.ts'
import type { System } from '../support/system.ts'

/** The way of a researcher with weights of their own: compile a checkpoint, serve it, and check its numbers from outside. */
let folder: string
let system: System
let reference: ReferenceModel
let model: string

interface Completion {
  readonly choices: [{ readonly text: string; readonly logprobs: { readonly token_logprobs: (number | null)[]; readonly top_logprobs: (Record<string, number> | null)[] } }]
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'phigate-numbers-'))
  const checkpoint = join(folder, 'checkpoint')
  await writeRandomCheckpoint({ folder: checkpoint, configuration: tinyConfiguration, seed: 3 })
  reference = await loadReferencePhi(checkpoint)
  const served = await serveCheckpoint(checkpoint)
  system = served.system
  model = served.model
})
afterAll(async () => {
  await system.stop()
  await rm(folder, { recursive: true, force: true })
})

function logSoftmax(logits: Float64Array): Float64Array {
  const maximum = Math.max(...logits)
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - maximum), 0)
  return logits.map((logit) => logit - maximum - Math.log(sum))
}

const prompt = Array.from({ length: 40 }, (_, index) => (index * 37 + 11) % 200)

test('log-probabilities of a scored prompt equal those of a float64 forward pass', async () => {
  const response = await system.post('/v1/completions', { model, prompt, max_tokens: 0, echo: true, logprobs: 3 })
  const { choices, usage } = (await response.json()) as Completion
  expect(usage).toMatchObject({ prompt_tokens: prompt.length, completion_tokens: 0 })
  const expected = reference(prompt).map(logSoftmax)
  const { token_logprobs: scored, top_logprobs: top } = choices[0].logprobs
  expect(scored).toHaveLength(prompt.length)
  expect(scored[0]).toBeNull()
  for (let position = 1; position < prompt.length; position++) {
    const row = expected[position - 1] ?? new Float64Array()
    expect(Math.abs((scored[position] ?? Number.NaN) - (row[prompt[position] ?? 0] ?? Number.NaN))).toBeLessThan(1e-4)
    expect(Math.abs(Math.max(...Object.values(top[position] ?? {})) - Math.max(...row))).toBeLessThan(1e-4)
  }
})

test('greedy tokens and their log-probabilities equal those of a float64 forward pass', async () => {
  const response = await system.post('/v1/completions', { model, prompt, max_tokens: 12, temperature: 0, logprobs: 0, ignore_eos: true })
  const { choices } = (await response.json()) as Completion
  const tokens = [...prompt]
  for (const logprob of choices[0].logprobs.token_logprobs) {
    const row = logSoftmax(reference(tokens).at(-1) ?? new Float64Array())
    const best = row.indexOf(Math.max(...row))
    expect(Math.abs((logprob ?? Number.NaN) - (row[best] ?? Number.NaN))).toBeLessThan(1e-4)
    tokens.push(best)
  }
  expect(tokens).toHaveLength(prompt.length + 12)
})
