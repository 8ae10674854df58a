import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadReferencePhi } from '../../test/support/reference-phi.ts'
import type { ReferenceModel } from '../../test/support/reference-phi.ts'
import { compileCheckpoint } from './compile.ts'
import { weightsFile } from './manifest.ts'
import type { Manifest } from './manifest.ts'
import type { PhiConfiguration } from './phi-configuration.ts'
import { phiTensors } from './phi-configuration.ts'
import { phiGraph } from './phi-graph.ts'
import { encodingsOf } from './precision.ts'
import { tinyConfiguration, writeCheckpointFiles, writeRandomCheckpoint } from './random-checkpoint.ts'
import { writeSafetensors } from './safetensors-writer.ts'
import { byteLevelTokenizer } from './byte-level-tokenizer.ts'
import { largestDistance, openGraph, relativeError } from './test-support/compiled-graph.ts'
import type { CompiledGraph } from './test-support/compiled-graph.ts'
import { decodeWeights } from './test-support/decode-weights.ts'
import { layOut } from './write-weights.ts'

interface Case {
  readonly precision: Manifest['precision']
  readonly blockSize?: number
  /** Bounds of `relativeError`: against the weights as they were, and against the weights as they are stored. */
  readonly fromOriginal: number
  readonly fromStored: number
}

const cases: Case[] = [
  { precision: 'fp16', fromOriginal: 0.001, fromStored: 1e-5 },
  { precision: 'int8', fromOriginal: 0.03, fromStored: 0.02 },
  { precision: 'int8', blockSize: 32, fromOriginal: 0.03, fromStored: 0.02 },
  { precision: 'int8', blockSize: 128, fromOriginal: 0.03, fromStored: 0.02 },
  { precision: 'int4', blockSize: 32, fromOriginal: 0.17, fromStored: 0.02 },
  { precision: 'int4', blockSize: 64, fromOriginal: 0.17, fromStored: 0.02 },
  { precision: 'int4', blockSize: 128, fromOriginal: 0.19, fromStored: 0.02 },
]

const shapes: { what: string; heads: number; headSize: number; rotarySize: number }[] = [
  { what: 'heads of 80, as phi-2', heads: 2, headSize: 80, rotarySize: 32 },
  // 60 and 184 inputs: neither is a multiple of any block.
  { what: 'plain attention and half-filled blocks', heads: 3, headSize: 20, rotarySize: 10 },
]

const prompt = Array.from('A Phi with a past.', (character) => character.charCodeAt(0))
const every = prompt.map((_, index) => index)

describe.each(shapes)('$what', ({ heads, headSize, rotarySize }) => {
  const hiddenSize = heads * headSize
  const configuration: PhiConfiguration = {
    ...tinyConfiguration, heads, headSize, rotarySize, hiddenSize, intermediateSize: 3 * hiddenSize + 4, contextLength: 40, vocabularySize: 300,
  }
  let root: string
  let original: ReferenceModel
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'phigate-quantised-'))
    await writeRandomCheckpoint({ folder: join(root, 'checkpoint'), configuration, seed: 7 })
    original = await loadReferencePhi(join(root, 'checkpoint'))
  })
  afterAll(() => rm(root, { recursive: true }))

  describe.each(cases)('$precision, block size $blockSize', ({ precision, blockSize, fromOriginal, fromStored }) => {
    const block = blockSize === undefined ? {} : { blockSize }
    let out: string
    let manifest: Manifest
    let graph: CompiledGraph
    let atOnce: Float32Array[]
    beforeAll(async () => {
      out = join(root, `${precision}-${blockSize}`)
      manifest = await compileCheckpoint({ source: join(root, 'checkpoint'), out, modelId: 'test/tiny', precision, ...block })
      graph = await openGraph(out, manifest)
      atOnce = (await graph.step([prompt], [prompt.length], graph.emptyCache(1), every)).logits
    })
    afterAll(() => graph.close())

    test('the manifest says so', () => {
      expect(manifest).toMatchObject({ precision, kvType: 'float32', ...block })
      expect('blockSize' in manifest).toBe(blockSize !== undefined)
    })

    test('logits are near those of the original weights', () => {
      expect(relativeError(atOnce, original(prompt))).toBeLessThan(fromOriginal)
    })

    test('logits are those of the stored weights, as near as the rounding of activations lets them be', async () => {
      const { weights } = phiGraph(configuration, encodingsOf({ name: precision, ...block }))
      const stored = decodeWeights(await readFile(join(out, weightsFile)), weights, layOut(weights))
      const folder = join(root, `stored-${precision}-${blockSize}`)
      await writeSafetensors({ folder: await emptyCheckpoint(folder), shapes: phiTensors(configuration), type: 'F32', values: (name) => stored.get(name)! })
      expect(relativeError(atOnce, (await loadReferencePhi(folder))(prompt))).toBeLessThan(fromStored)
    })

    test('in chunks, one token at a time, and at once are the same', async () => {
      let cache = graph.emptyCache(1)
      let done = 0
      for (const chunk of [5, 7, 1, 3, 1, 1]) {
        const part = prompt.slice(done, done + chunk)
        done += chunk
        const result = await graph.step([part], [done], cache, part.map((_, index) => index))
        cache = result.cache
        expect(relativeError(result.logits, atOnce.slice(done - chunk, done))).toBeLessThan(fromStored / 4)
      }
    })

    test('a row of a batch is what it is alone, and its neighbours change nothing at all', async () => {
      const prompts = [prompt, prompt.slice(3, 9), prompt.slice(11, 12)]
      const width = prompt.length
      const together = async (sequences: readonly (readonly number[])[]) => {
        const lengths = sequences.map((tokens) => tokens.length)
        const padded = sequences.map((tokens) => [...tokens, ...Array.from({ length: width - tokens.length }, () => 0)])
        const { cache } = await graph.step(padded, lengths, graph.emptyCache(3), [])
        const { logits } = await graph.step([[60], [70], [80]], lengths.map((length) => length + 1), cache, [0, 1, 2])
        return logits
      }
      const [first, second] = [await together(prompts), await together([prompt.slice(5), prompts[1]!, prompt.toReversed()])]
      expect(largestDistance([first[1]!], [second[1]!])).toBe(0)
      expect(largestDistance([first[0]!], [second[0]!])).toBeGreaterThan(0.01)
      const alone = await graph.step([[...prompts[1]!, 70]], [prompts[1]!.length + 1], graph.emptyCache(1), [prompts[1]!.length])
      expect(relativeError([first[1]!], alone.logits)).toBeLessThan(fromStored / 4)
    })
  })

  async function emptyCheckpoint(folder: string): Promise<string> {
    await mkdir(folder)
    await writeCheckpointFiles(folder, configuration, 'F32', byteLevelTokenizer().json)
    return folder
  }
})
