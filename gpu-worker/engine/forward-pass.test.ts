import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { graphFile } from '../model/manifest.ts'
import { openBindingForwardPass } from './binding-forward-pass.ts'
import type { ForwardPass, ForwardPassInput, ForwardPassOptions } from './forward-pass.ts'
import { createKeyValueCache } from './key-value-cache.ts'
import type { KeyValueCache } from './key-value-cache.ts'
import { openNativeForwardPass } from './native-forward-pass.ts'
import { loadOnnxRuntime } from './onnxruntime-library.ts'
import { selfCheck } from './self-check.ts'
import { graphKinds, makeRandomModel } from './test-support/random-model.ts'
import type { RandomModel } from './test-support/random-model.ts'

process.env.ORT_DISABLE_TELEMETRY = '1'

const slots = 4
const tolerance = 1e-4
const implementations: Record<string, (options: ForwardPassOptions) => Promise<ForwardPass>> = {
  native: async (options) => openNativeForwardPass(options, loadOnnxRuntime()),
  binding: openBindingForwardPass,
}

const cases = Object.keys(implementations).flatMap((kind) => Object.keys(graphKinds).map((graph) => ({ kind, graph })))

describe.each(cases)('$kind forward pass, graph that works $graph', ({ kind, graph }) => {
  let model: RandomModel
  let cache: KeyValueCache
  let pass: ForwardPass

  const open = (opened: KeyValueCache, graphPath = join(model.folder, graphFile)): Promise<ForwardPass> =>
    implementations[kind]!({ graphPath, manifest: model.manifest, cache: opened, maximumTokens: 32, threads: 1 })

  beforeAll(async () => {
    model = await makeRandomModel(graphKinds[graph]!)
    cache = createKeyValueCache(model.manifest, slots)
    pass = await open(cache)
  })
  afterAll(async () => {
    await pass.close()
    await model.remove()
  })

  async function rows(input: ForwardPassInput): Promise<Float32Array[]> {
    const logits = await pass.run(input)
    const { vocabularySize } = model.manifest
    expect(logits).toHaveLength(input.wanted.length * vocabularySize)
    return input.wanted.map((_, row) => logits.slice(row * vocabularySize, (row + 1) * vocabularySize))
  }

  /** The largest distance of a row of logits from the plain forward pass. */
  function distance(actual: Float32Array | undefined, tokens: readonly number[], position: number): number {
    const expected = model.reference(tokens)[position]!
    return Math.max(...Array.from(expected, (logit, token) => Math.abs(logit - (actual?.[token] ?? Number.NaN))))
  }

  const prompt = Array.from({ length: 12 }, (_, index) => (index * 53 + 7) % 250)

  test('a prompt at once, all positions', async () => {
    const actual = await rows({ firstSlot: 1, lengths: [12], tokens: prompt, wanted: [...prompt.keys()] })
    actual.forEach((row, position) => expect(distance(row, prompt, position)).toBeLessThan(tolerance))
  })

  test('a prompt in chunks, then decoded, in the last slot', async () => {
    const firstSlot = slots - 1
    await rows({ firstSlot, lengths: [5], tokens: prompt.slice(0, 5), wanted: [] })
    const [middle] = await rows({ firstSlot, lengths: [10], tokens: prompt.slice(5, 10), wanted: [2] })
    expect(distance(middle, prompt, 7)).toBeLessThan(tolerance)
    const [next] = await rows({ firstSlot, lengths: [11], tokens: prompt.slice(10, 11), wanted: [0] })
    expect(distance(next, prompt, 10)).toBeLessThan(tolerance)
    const [last] = await rows({ firstSlot, lengths: [12], tokens: prompt.slice(11), wanted: [0] })
    expect(distance(last, prompt, 11)).toBeLessThan(tolerance)
  })

  test('sequences of different lengths side by side, and the slot beside them stays as it is', async () => {
    const prompts = [[...prompt], prompt.slice(2, 5), prompt.slice(7, 8)]
    for (const [slot, tokens] of prompts.entries()) await rows({ firstSlot: slot, lengths: [tokens.length], tokens, wanted: [] })
    const untouched = cache.tensors.map(({ past }) => past.slice(3 * cache.slotElements))
    for (let step = 0; step < 3; step++) {
      for (const tokens of prompts) tokens.push(100 + step)
      const actual = await rows({ firstSlot: 0, lengths: prompts.map((tokens) => tokens.length), tokens: prompts.map(() => 100 + step), wanted: [0, 1, 2] })
      actual.forEach((row, index) => expect(distance(row, prompts[index]!, prompts[index]!.length - 1)).toBeLessThan(tolerance))
    }
    cache.tensors.forEach(({ past }, index) => expect(past.slice(3 * cache.slotElements)).toEqual(untouched[index]))
  })

  test('a sequence goes on in the slot that it was moved to', async () => {
    await rows({ firstSlot: 3, lengths: [11], tokens: prompt.slice(0, 11), wanted: [] })
    cache.move(3, 0, 11)
    cache.clear(3, 11)
    const [row] = await rows({ firstSlot: 0, lengths: [12], tokens: prompt.slice(11), wanted: [0] })
    expect(distance(row, prompt, 11)).toBeLessThan(tolerance)
  })

  test('a failed run says why, and the next one works', async () => {
    const { vocabularySize, contextLength } = model.manifest
    await expect(pass.run({ firstSlot: 0, lengths: [1], tokens: [vocabularySize], wanted: [0] })).rejects.toThrow(/Gather|indices/)
    await expect(pass.run({ firstSlot: 0, lengths: [contextLength + 1], tokens: [1], wanted: [0] })).rejects.toThrow(/total_sequence_length|out of data bounds/)
    await expect(pass.run({ firstSlot: 0, lengths: [], tokens: [], wanted: [] })).rejects.toThrow('takes 1 to 32 tokens')
    await expect(pass.run({ firstSlot: 0, lengths: [2, 2], tokens: [1, 2, 3, 4], wanted: [] })).rejects.toThrow('takes 1 to 32 tokens')
    const [row] = await rows({ firstSlot: 0, lengths: [1], tokens: [1], wanted: [0] })
    expect(distance(row, [1], 0)).toBeLessThan(tolerance)
  })

  test('the self-check passes, and finds a cache that is not written', async () => {
    await selfCheck(pass, cache, model.manifest)
    const broken: ForwardPass = {
      ...pass,
      async run(input) {
        const logits = await pass.run(input)
        cache.clear(input.firstSlot, 2)
        return logits
      },
    }
    await expect(selfCheck(broken, cache, model.manifest)).rejects.toThrow('token by token')
  })

  test('a file that is not a graph is an error', async () => {
    await expect(open(createKeyValueCache(model.manifest, 1), join(model.folder, 'manifest.json'))).rejects.toThrow(/[Pp]rotobuf/)
  })
})

describe('which forward pass is used', () => {
  afterEach(() => {
    vi.doUnmock('./onnxruntime-library.ts')
    vi.resetModules()
  })

  async function opened() {
    vi.resetModules()
    const { openForwardPass } = await import('./forward-pass.ts')
    const model = await makeRandomModel()
    const cache = createKeyValueCache(model.manifest, 1)
    const reasons: unknown[] = []
    const pass = await openForwardPass(
      { graphPath: join(model.folder, graphFile), manifest: model.manifest, cache, maximumTokens: 8, threads: 1 },
      (reason) => reasons.push(reason),
    )
    await selfCheck(pass, cache, model.manifest)
    await pass.close()
    await model.remove()
    return { kind: pass.kind, reasons }
  }

  test('the native one on this platform', async () => {
    expect(await opened()).toEqual({ kind: 'native', reasons: [] })
  })

  test("the binding's where the library can not be used, and the reason is told", async () => {
    const reason = new Error('no build of koffi')
    vi.doMock('./onnxruntime-library.ts', () => ({
      loadOnnxRuntime: () => {
        throw reason
      },
    }))
    expect(await opened()).toEqual({ kind: 'binding', reasons: [reason] })
  })
})
