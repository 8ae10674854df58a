import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadReferencePhi } from '../../test/support/reference-phi.ts'
import type { ReferenceModel } from '../../test/support/reference-phi.ts'
import { compileCheckpoint } from './compile.ts'
import type { Manifest } from './manifest.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import { tinyConfiguration, writeRandomCheckpoint } from './random-checkpoint.ts'
import type { TensorType } from './tensor-types.ts'
import { largestDistance, openGraph } from './test-support/compiled-graph.ts'
import type { CompiledGraph } from './test-support/compiled-graph.ts'

interface Shape {
  readonly what: string
  readonly heads: number
  readonly headSize: number
  readonly rotarySize: number
  readonly layers: number
  readonly type?: TensorType
  readonly shards?: number
}

const tolerance = 1e-4

const shapes: Shape[] = [
  { what: '1 layer, heads of 16', heads: 4, headSize: 16, rotarySize: 16, layers: 1 },
  { what: '6 layers, heads of 64, half rotary', heads: 2, headSize: 64, rotarySize: 32, layers: 6 },
  { what: 'heads of 80 with rotary 32, as phi-2, from F16', heads: 2, headSize: 80, rotarySize: 32, layers: 2, type: 'F16' },
  { what: 'BF16 in 3 shards', heads: 2, headSize: 32, rotarySize: 16, layers: 2, type: 'BF16', shards: 3 },
  { what: 'heads of 20 with rotary 10 (plain attention)', heads: 3, headSize: 20, rotarySize: 10, layers: 2 },
  { what: 'heads of 8, all rotary (plain attention)', heads: 5, headSize: 8, rotarySize: 8, layers: 6, type: 'F16' },
]

describe.each(shapes)('the compiled graph against a plain forward pass: $what', ({ heads, headSize, rotarySize, layers, type, shards }) => {
  const configuration: PhiConfiguration = {
    ...tinyConfiguration,
    hiddenSize: heads * headSize,
    intermediateSize: 3 * heads * headSize + 4,
    heads,
    headSize,
    rotarySize,
    layers,
    contextLength: 40,
    vocabularySize: 300,
  }
  let folder: string
  let manifest: Manifest
  let graph: CompiledGraph
  let reference: ReferenceModel

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'phigate-compile-'))
    const source = join(folder, 'checkpoint')
    await writeRandomCheckpoint({ folder: source, configuration, seed: 7, ...(type && { type }), ...(shards && { shards }) })
    manifest = await compileCheckpoint({ source, out: join(folder, 'compiled'), modelId: 'test/tiny', precision: 'fp32' })
    graph = await openGraph(join(folder, 'compiled'), manifest)
    reference = await loadReferencePhi(source)
  })
  afterAll(async () => {
    await graph.close()
    await rm(folder, { recursive: true })
  })

  const prompt = Array.from('A Phi with a past.', (character) => character.charCodeAt(0))

  test('a whole prompt at once, every position', async () => {
    const positions = prompt.map((_, index) => index)
    const { logits } = await graph.step([prompt], [prompt.length], graph.emptyCache(1), positions)
    expect(largestDistance(logits, reference(prompt))).toBeLessThan(tolerance)
  })

  test('a prompt in chunks, then one token at a time', async () => {
    const expected = reference(prompt)
    let cache = graph.emptyCache(1)
    let done = 0
    for (const chunk of [5, 7, 1, 3, 1, 1]) {
      const part = prompt.slice(done, done + chunk)
      done += chunk
      const result = await graph.step([part], [done], cache, part.map((_, index) => index))
      cache = result.cache
      expect(largestDistance(result.logits, expected.slice(done - chunk, done))).toBeLessThan(tolerance)
    }
    expect(done).toBe(prompt.length)
  })

  test('three prompts of different lengths, padded on the right, then decoded together', async () => {
    const prompts = [prompt, prompt.slice(3, 9), prompt.slice(11, 12)]
    const width = prompt.length
    const padded = prompts.map((tokens) => [...tokens, ...Array.from({ length: width - tokens.length }, () => 0)])
    const lengths = prompts.map((tokens) => tokens.length)
    const first = await graph.step(padded, lengths, graph.emptyCache(3), lengths.map((length, row) => row * width + length - 1))
    expect(largestDistance(first.logits, prompts.map((tokens) => reference(tokens).at(-1)!))).toBeLessThan(tolerance)
    let cache = first.cache
    for (let round = 0; round < 4; round++) {
      for (const tokens of prompts) tokens.push(60 + 7 * round + tokens.length)
      const result = await graph.step(prompts.map((tokens) => tokens.slice(-1)), prompts.map((tokens) => tokens.length), cache, [0, 1, 2])
      cache = result.cache
      expect(largestDistance(result.logits, prompts.map((tokens) => reference(tokens).at(-1)!))).toBeLessThan(tolerance)
    }
  })

  test('a chunk may ask for no logits', async () => {
    const { logits, cache } = await graph.step([prompt.slice(0, 9)], [9], graph.emptyCache(1), [])
    expect(logits).toEqual([])
    const rest = await graph.step([prompt.slice(9)], [prompt.length], cache, [prompt.length - 10])
    expect(largestDistance(rest.logits, [reference(prompt).at(-1)!])).toBeLessThan(tolerance)
  })

  test('the context can be filled to its end', async () => {
    const tokens = Array.from({ length: configuration.contextLength }, (_, index) => (index * 37) % 257)
    const most = await graph.step([tokens.slice(0, -1)], [tokens.length - 1], graph.emptyCache(1), [])
    const last = await graph.step([tokens.slice(-1)], [tokens.length], most.cache, [0])
    expect(largestDistance(last.logits, [reference(tokens).at(-1)!])).toBeLessThan(tolerance)
  })

  test('the manifest tells what the engine needs', () => {
    expect(manifest).toMatchObject({
      format: 1,
      modelId: 'test/tiny',
      ownedBy: 'local',
      licence: 'phigate-research',
      precision: 'fp32',
      kvType: 'float32',
      kvInPlace: headSize % 16 === 0,
      layers,
      heads,
      headSize,
      vocabularySize: 300,
      contextLength: 40,
      endTokens: [256],
    })
  })
})
