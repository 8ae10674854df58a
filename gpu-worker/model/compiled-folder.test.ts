import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { compileCheckpoint, digestCheckpoint } from './compile.ts'
import { readManifest } from './manifest.ts'
import { phiTensors } from './phi-configuration.ts'
import { tinyConfiguration, writeRandomCheckpoint } from './random-checkpoint.ts'
import { writeSafetensors } from './safetensors-writer.ts'
import { verifyModel } from './verify.ts'

let root: string
let source: string
let place: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'phigate-compiled-'))
  source = join(root, 'checkpoint')
  await writeRandomCheckpoint({ folder: source, configuration: tinyConfiguration, seed: 1 })
})
beforeEach(async () => {
  place = join(root, `place-${count++}`)
  await mkdir(place)
})
afterAll(() => rm(root, { recursive: true }))

const out = (): string => join(place, 'compiled')
const compile = (from = source, options: Partial<Parameters<typeof compileCheckpoint>[0]> = {}) =>
  compileCheckpoint({ source: from, out: out(), precision: 'fp32', ...options })

/** A copy of the checkpoint that a test may spoil. */
async function copyOfSource(): Promise<string> {
  const copy = join(place, 'checkpoint')
  await cp(source, copy, { recursive: true })
  return copy
}

describe('a finished compile', () => {
  test('is exactly the folder that the manifest describes', async () => {
    const manifest = await compile()
    expect((await readdir(out())).toSorted()).toEqual(['manifest.json', 'model.onnx', 'tokenizer.json', 'tokenizer_config.json', 'weights.bin'])
    expect(await readdir(place)).toEqual(['compiled'])
    expect(await readManifest(out())).toEqual(manifest)
    expect(await verifyModel({ folder: out() })).toEqual(manifest)
    expect(await readFile(join(out(), 'tokenizer.json'), 'utf8')).toBe(await readFile(join(source, 'tokenizer.json'), 'utf8'))
    expect(manifest).toMatchObject({ modelId: 'checkpoint', licence: 'phigate-research', weightsDigest: await digestCheckpoint(source) })
  })

  test('has a digest of the weights that depends on them alone', async () => {
    const sharded = join(place, 'sharded')
    await writeRandomCheckpoint({ folder: sharded, configuration: tinyConfiguration, seed: 1, shards: 4 })
    expect(await digestCheckpoint(sharded)).toBe(await digestCheckpoint(source))
    const other = join(place, 'other')
    await writeRandomCheckpoint({ folder: other, configuration: tinyConfiguration, seed: 2 })
    expect(await digestCheckpoint(other)).not.toBe(await digestCheckpoint(source))
  })

  test('replaces an older one, and reports its progress to the end', async () => {
    await compile(source, { modelId: 'first/model' })
    const seen: number[] = []
    await compile(source, { modelId: 'second', licence: 'mit', ownedBy: 'us', onProgress: ({ doneBytes, totalBytes }) => seen.push(doneBytes / totalBytes) })
    expect(await readManifest(out())).toMatchObject({ modelId: 'second', licence: 'mit', ownedBy: 'us' })
    expect(seen.at(-1)).toBe(1)
    expect(await readdir(place)).toEqual(['compiled'])
  })
})

describe.each([
  { precision: 'fp32' }, { precision: 'fp16' }, { precision: 'int8' }, { precision: 'int8', blockSize: 64 }, { precision: 'int4', blockSize: 128 },
])('compiled twice, $precision $blockSize', (options) => {
  test('is the same to the byte, on however many threads', async () => {
    const { files, ...first } = await compile(source, { ...options, threads: 0 })
    const other = await compile(source, { ...options, threads: 3 })
    expect(other.files).toEqual(files)
    expect(other.weightsDigest).toBe(first.weightsDigest)
  })
})

describe('a place that is taken', () => {
  test('by other files: they stay', async () => {
    await mkdir(out())
    await writeFile(join(out(), 'thesis.tex'), 'years of work')
    await expect(compile()).rejects.toMatchObject({ failure: 'occupied' })
    expect(await readdir(out())).toEqual(['thesis.tex'])
  })
  test('by a file', async () => {
    await writeFile(out(), 'a file')
    await expect(compile()).rejects.toMatchObject({ failure: 'occupied' })
  })
  test('by the checkpoint itself', async () => {
    const copy = await copyOfSource()
    await expect(compile(copy, { out: copy })).rejects.toMatchObject({ failure: 'occupied' })
  })
})

describe('a compile that does not finish', () => {
  test('leaves nothing when it is aborted', async () => {
    const controller = new AbortController()
    const compiling = compile(source, { signal: controller.signal, onProgress: () => controller.abort(new Error('changed my mind')) })
    await expect(compiling).rejects.toThrow('changed my mind')
    expect(await readdir(place)).toEqual([])
  })

  test('leaves nothing when it is aborted while threads encode', async () => {
    const controller = new AbortController()
    const compiling = compile(source, {
      precision: 'int4', threads: 2, signal: controller.signal, onProgress: () => controller.abort(new Error('changed my mind')),
    })
    await expect(compiling).rejects.toThrow('changed my mind')
    expect(await readdir(place)).toEqual([])
  })

  test('leaves nothing that looks complete when it is killed, and the next one cleans up', async () => {
    const script = `
      import { compileCheckpoint } from ${JSON.stringify(join(import.meta.dirname, 'compile.ts'))}
      await compileCheckpoint({ source: ${JSON.stringify(source)}, out: ${JSON.stringify(out())}, precision: 'fp32',
        onProgress: ({ phase }) => { if (phase === 'checking') process.kill(process.pid, 'SIGKILL') } })`
    const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', script], { stdio: 'inherit' })
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
    expect(signal).toBe('SIGKILL')
    const left = await readdir(place)
    expect(left).toHaveLength(1)
    expect(left[0]).toMatch(/^\.compiled\.partial\./)
    await expect(readManifest(join(place, left[0]!))).rejects.toMatchObject({ failure: 'not-found' })
    await compile()
    expect(await readdir(place)).toEqual(['compiled'])
  })
})

describe('a checkpoint that can not be compiled is refused, and nothing is left', () => {
  test.each<[string, (folder: string) => Promise<unknown>, string]>([
    ['no tokenizer', (folder) => rm(join(folder, 'tokenizer.json')), 'has no tokenizer.json'],
    ['a tokenizer of another kind', (folder) => writeFile(join(folder, 'tokenizer.json'), '{"model":{"type":"Unigram","vocab":{}}}'), 'tokenizer.json can not be used'],
    ['a tokenizer with too many tokens', (folder) => writeFile(join(folder, 'tokenizer.json'), '{"model":{"type":"BPE","vocab":{"a":257}}}'), 'vocab_size is 257'],
    ['weights cut short', async (folder) => {
      const path = join(folder, 'model.safetensors')
      await writeFile(path, (await readFile(path)).subarray(0, -1000))
    }, 'may be cut short'],
    ['bytes behind the weights', (folder) => appendFile(join(folder, 'model.safetensors'), 'virus'), '5 bytes at its end'],
    ['a configuration that does not fit the weights', async (folder) => {
      const path = join(folder, 'config.json')
      await writeFile(path, (await readFile(path, 'utf8')).replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    }, 'lacks the tensor model.layers.2.input_layernorm.weight'],
    ['a wrong shape', async (folder) => {
      const path = join(folder, 'config.json')
      await writeFile(path, (await readFile(path, 'utf8')).replace('"intermediate_size": 256', '"intermediate_size": 512'))
    }, 'has the shape [256, 64], and config.json asks for [512, 64]'],
    ['tensors that would be ignored', (folder) => writeWeights(folder, ['model.layers.0.self_attn.q_layernorm.weight', [32]]), 'answers would be wrong'],
    ['a weight that is infinite', (folder) => writeWeights(folder, undefined, Number.POSITIVE_INFINITY), '"lm_head.bias" holds a value that is not a finite number'],
  ])('%s', async (_, spoil, message) => {
    const copy = await copyOfSource()
    await spoil(copy)
    await expect(compile(copy)).rejects.toThrow(message)
    expect(await readdir(place)).toEqual(['checkpoint'])
  })

  test.each([['int4', 0], ['int8', 2], ['fp16', 2]] as const)('a weight that is not a number, at %s on %i threads', async (precision, threads) => {
    const copy = await copyOfSource()
    await writeWeights(copy, undefined, Number.NaN)
    await expect(compile(copy, { precision, threads })).rejects.toMatchObject({
      failure: 'damaged', message: expect.stringContaining('"lm_head.bias" holds a value that is not a finite number'),
    })
    expect(await readdir(place)).toEqual(['checkpoint'])
  })

  test.each(['fp16', 'int8', 'int4'])('a weight that float16 can not hold, at %s', async (precision) => {
    const copy = await copyOfSource()
    await writeWeights(copy, undefined, 0, 70_000)
    await expect(compile(copy, { precision })).rejects.toThrow('"model.embed_tokens.weight" holds 70000, and float16 ends at 65504')
    await expect(compile(copy)).resolves.toMatchObject({ precision: 'fp32' })
  })

  test('blocks that do not exist', async () => {
    await expect(compile(source, { precision: 'int4', blockSize: 48 })).rejects.toThrow('Blocks of 48 weights do not exist; there is 32, 64, 128.')
    await expect(compile(source, { precision: 'fp16', blockSize: 32 })).rejects.toThrow('The precision fp16 has no blocks.')
  })

  test('a precision or an id that does not exist', async () => {
    await expect(compile(source, { precision: 'int3' })).rejects.toThrow('The precision "int3" does not exist; there is fp32, fp16, int8, int4.')
    await expect(compile(source, { modelId: '../../etc' })).rejects.toThrow('can not be a model id')
  })

  async function writeWeights(folder: string, extra: [string, number[]] | undefined, headBias = 0, embedding = 0): Promise<void> {
    const shapes = phiTensors(tinyConfiguration)
    if (extra !== undefined) shapes.set(...extra)
    await writeSafetensors({
      folder, shapes, type: 'F32',
      values: (name, [first, second = 1]) =>
        new Float32Array(first! * second).fill(name === 'lm_head.bias' ? headBias : name === 'model.embed_tokens.weight' ? embedding : 0),
    })
  }
})

test('an inverse frequency table, which older checkpoints hold, is tolerated', async () => {
  const copy = await copyOfSource()
  const shapes = phiTensors(tinyConfiguration).set('model.layers.0.self_attn.rotary_emb.inv_freq', [8])
  await writeSafetensors({ folder: copy, shapes, type: 'F32', values: (_, [first, second = 1]) => new Float32Array(first! * second) })
  await expect(compile(copy)).resolves.toMatchObject({ layers: 2 })
})

describe('a compiled folder that is not whole', () => {
  beforeEach(async () => {
    await compile()
  })
  const spoilManifest = async (change: (manifest: Record<string, unknown>) => void): Promise<void> => {
    const path = join(out(), 'manifest.json')
    const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    change(manifest)
    await writeFile(path, JSON.stringify(manifest))
  }
  test.each<[string, () => Promise<unknown>, string]>([
    ['no manifest', () => rm(join(out(), 'manifest.json')), 'has no manifest.json'],
    ['a checkpoint in its place', () => rm(join(out(), 'manifest.json')).then(() => cp(join(source, 'config.json'), join(out(), 'config.json'))), 'model compile'],
    ['half a manifest', () => writeFile(join(out(), 'manifest.json'), '{"format": 1,'), 'not valid JSON'],
    ['a newer format', () => spoilManifest((manifest) => Object.assign(manifest, { format: 2 })), 'was compiled in format 2'],
    ['a field missing', () => spoilManifest((manifest) => delete manifest['layers']), 'layers'],
    ['a file not listed', () => spoilManifest((manifest) => delete (manifest['files'] as Record<string, unknown>)['weights.bin']), 'does not list weights.bin'],
    ['a file elsewhere listed', () => spoilManifest((manifest) => Object.assign(manifest['files'] as object, { '../x': { bytes: 0, sha256: '0'.repeat(64) } })), 'not a file name'],
    ['weights gone', () => rm(join(out(), 'weights.bin')), 'weights.bin is missing'],
    ['weights cut short', async () => writeFile(join(out(), 'weights.bin'), (await readFile(join(out(), 'weights.bin'))).subarray(1)), 'instead of'],
  ])('%s', async (_, spoil, message) => {
    await spoil()
    await expect(readManifest(out())).rejects.toThrow(message)
    await expect(readManifest(out())).rejects.toMatchObject({ name: 'ModelError' })
  })

  test('one flipped bit is found by verify', async () => {
    const path = join(out(), 'weights.bin')
    const bytes = await readFile(path)
    bytes[12_345]! ^= 1
    await writeFile(path, bytes)
    await expect(readManifest(out())).resolves.toMatchObject({ format: 1 })
    await expect(verifyModel({ folder: out() })).rejects.toThrow('the SHA-256 of weights.bin is')
  })
})
