import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadReferencePhi } from '../../test/support/reference-phi.ts'
import { loadTokenizer } from '../engine/tokenizer.ts'
import { compareModels } from './compare.ts'
import { compileCheckpoint } from './compile.ts'
import { tinyConfiguration, writeRandomCheckpoint } from './random-checkpoint.ts'

/** Longer than two windows of 100 tokens, and the last one is not full. */
const text = 'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. '.repeat(2)
const contextLength = 100

let root: string
const at = (name: string): string => join(root, name)
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'phigate-compare-'))
  const configuration = { ...tinyConfiguration, contextLength }
  await writeRandomCheckpoint({ folder: at('checkpoint'), configuration, seed: 5 })
  await writeRandomCheckpoint({ folder: at('other'), configuration, seed: 6 })
  for (const precision of ['fp32', 'int8', 'int4']) await compileCheckpoint({ source: at('checkpoint'), out: at(precision), precision })
  await compileCheckpoint({ source: at('other'), out: at('other-int4'), precision: 'int4' })
})
afterAll(() => rm(root, { recursive: true }))

/** The same measures from a plain forward pass in float64 over the windows of the text. */
async function measurePlainly(): Promise<{ tokens: number; predictions: number; perplexity: number }> {
  const tokens = (await loadTokenizer(at('fp32'))).encode(text)
  const reference = await loadReferencePhi(at('checkpoint'))
  const surprises: number[] = []
  for (let start = 0; start < tokens.length; start += contextLength) {
    const window = tokens.slice(start, start + contextLength)
    reference(window).slice(0, -1).forEach((logits, position) => {
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0)
      surprises.push(Math.log(total) - logits[window[position + 1]!]!)
    })
  }
  const mean = surprises.reduce((sum, value) => sum + value, 0) / surprises.length
  return { tokens: tokens.length, predictions: surprises.length, perplexity: Math.exp(mean) }
}

describe('what a precision costs', () => {
  test('fp32 against itself: nothing; its perplexity is that of a plain forward pass', async () => {
    const expected = await measurePlainly()
    expect(expected.tokens % contextLength).not.toBe(0)
    const result = await compareModels({ folder: at('fp32'), against: at('fp32'), text })
    expect(result).toMatchObject({ tokens: expected.tokens, predictions: expected.predictions, klDivergence: { mean: 0, p99: 0 }, topAgreement: 1 })
    expect(result.perplexity.reference).toBeCloseTo(expected.perplexity, 2)
    expect(result.perplexity.model).toBe(result.perplexity.reference)
  })

  test('int4 costs more than int8, and both a little', async () => {
    const done: number[] = []
    const onTokens = (tokens: number, total: number): void => void done.push(tokens / total)
    const int8 = await compareModels({ folder: at('int8'), against: at('fp32'), text, onTokens })
    const int4 = await compareModels({ folder: at('int4'), against: at('fp32'), text })
    expect(done.at(-1)).toBe(1)
    expect(int8.klDivergence.mean).toBeGreaterThan(0)
    expect(int8.klDivergence.mean).toBeLessThan(0.002)
    expect(int8.klDivergence.p99).toBeGreaterThan(int8.klDivergence.mean)
    expect(int4.klDivergence.mean).toBeGreaterThan(5 * int8.klDivergence.mean)
    expect(int4.klDivergence.mean).toBeLessThan(0.1)
    expect(int8.topAgreement).toBeGreaterThan(int4.topAgreement)
    expect(int8.topAgreement).toBeLessThan(1)
    expect(Math.abs(Math.log(int8.perplexity.model / int8.perplexity.reference))).toBeLessThan(0.01)
  })

  test('a checkpoint is compiled for it, and nothing of that is left', async () => {
    const temporary = async (): Promise<string[]> => (await readdir(tmpdir())).filter((name) => name.startsWith('phigate-reference-'))
    const before = await temporary()
    const phases = new Set<string>()
    const result = await compareModels({ folder: at('int4'), against: at('checkpoint'), text, onCompileProgress: ({ phase }) => phases.add(phase) })
    expect(result).toEqual(await compareModels({ folder: at('int4'), against: at('fp32'), text }))
    expect([...phases]).toEqual(['converting', 'checking'])
    expect(await temporary()).toEqual(before)
  })
})

describe('a comparison that would say nothing is refused', () => {
  test.each<[string, string, string, string, string]>([
    ['other weights', 'other-int4', 'fp32', text, 'not made of the same weights'],
    ['a reference that is quantised', 'int4', 'int8', text, 'is int8; a reference is compiled at fp32'],
    ['one token', 'int4', 'fp32', 'a', 'The text has 1 tokens'],
    ['nothing there', 'int4', 'nowhere', text, 'has no config.json'],
  ])('%s', async (_, folder, against, ofText, message) => {
    await expect(compareModels({ folder: at(folder), against: at(against), text: ofText })).rejects.toThrow(message)
  })

  test('a reference that is damaged', async () => {
    await cp(at('fp32'), at('damaged'), { recursive: true })
    await rm(join(at('damaged'), 'weights.bin'))
    await expect(compareModels({ folder: at('int4'), against: at('damaged'), text })).rejects.toMatchObject({ failure: 'damaged' })
  })

  test('an abort ends it', async () => {
    const controller = new AbortController()
    const comparing = compareModels({ folder: at('int4'), against: at('fp32'), text, signal: controller.signal, onTokens: () => controller.abort(new Error('enough')) })
    await expect(comparing).rejects.toThrow('enough')
  })
})
