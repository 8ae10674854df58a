import { appendFile, cp, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { compileCheckpoint } from './compile.ts'
import { checkpointFolder } from './model-home.ts'
import { tinyConfiguration, writeRandomCheckpoint } from './random-checkpoint.ts'
import { resolveModel } from './resolve.ts'
import { listModels } from './verify.ts'

let root: string
let home: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'phigate-resolve-'))
})
beforeEach(() => {
  home = join(root, `home-${count++}`)
})
afterAll(() => rm(root, { recursive: true }))

test('the bundled model is compiled on first use and found again', async () => {
  const phases = new Set<string>()
  const first = await resolveModel({ model: 'phi-mini', home, onProgress: ({ phase }) => phases.add(phase) })
  expect(first.manifest).toMatchObject({ modelId: 'phi-mini', licence: 'mit', ownedBy: 'phigate', precision: 'fp32', kvInPlace: true, contextLength: 1024 })
  expect(phases).toEqual(new Set(['identifying', 'converting', 'checking']))
  const before = (await stat(join(first.folder, 'weights.bin'))).ino
  phases.clear()
  const second = await resolveModel({ model: 'phi-mini', home, onProgress: ({ phase }) => phases.add(phase) })
  expect(second).toEqual(first)
  expect(phases).toEqual(new Set(['identifying']))
  expect((await stat(join(first.folder, 'weights.bin'))).ino).toBe(before)
})

test('several at once end up with one folder', async () => {
  const resolved = await Promise.all(Array.from({ length: 4 }, () => resolveModel({ model: 'phi-mini', home })))
  expect(new Set(resolved.map(({ folder }) => folder)).size).toBe(1)
  const names = await readdir(join(home, 'models'))
  expect(names).toHaveLength(1)
  const onDisk = JSON.parse(await readFile(join(resolved[0]!.folder, 'manifest.json'), 'utf8')) as unknown
  for (const { manifest } of resolved) expect(manifest).toEqual(onDisk)
})

test('a damaged compiled model is compiled again', async () => {
  const { folder } = await resolveModel({ model: 'phi-mini', home })
  await writeFile(join(folder, 'weights.bin'), 'short')
  await expect(resolveModel({ model: 'phi-mini', home })).resolves.toMatchObject({ folder })
  expect((await stat(join(folder, 'weights.bin'))).size).toBeGreaterThan(1e6)
})

test('a model of the hub is asked for until it is there', async () => {
  await expect(resolveModel({ model: 'microsoft/phi-2', home })).rejects.toThrow('npm run phigate -- model pull microsoft/phi-2')
  const checkpoint = checkpointFolder(home, 'microsoft/phi-2')
  await writeRandomCheckpoint({ folder: checkpoint, configuration: tinyConfiguration, seed: 3 })
  const { folder, manifest } = await resolveModel({ model: 'microsoft/phi-2', home })
  expect(manifest).toMatchObject({ modelId: 'microsoft/phi-2', licence: 'mit', ownedBy: 'microsoft' })

  const models = await listModels(home)
  expect(models.find(({ id }) => id === 'microsoft/phi-2')).toMatchObject({ checkpoint: 'pulled', compiled: [{ folder, precision: 'fp32' }] })
  expect(models.find(({ id }) => id === 'microsoft/phi-1')).toMatchObject({ checkpoint: 'not pulled', compiled: [] })
  expect(models.find(({ id }) => id === 'phi-mini')).toMatchObject({ checkpoint: 'bundled', compiled: [] })
})

test('other weights, or another tokenizer, under the same name are another compiled model', async () => {
  const checkpoint = checkpointFolder(home, 'microsoft/phi-1')
  await writeRandomCheckpoint({ folder: checkpoint, configuration: tinyConfiguration, seed: 3 })
  const first = await resolveModel({ model: 'microsoft/phi-1', home })
  await writeRandomCheckpoint({ folder: checkpoint, configuration: tinyConfiguration, seed: 4 })
  const second = await resolveModel({ model: 'microsoft/phi-1', home })
  expect(second.folder).not.toBe(first.folder)
  expect(second.manifest.weightsDigest).not.toBe(first.manifest.weightsDigest)
  await appendFile(join(checkpoint, 'tokenizer.json'), '\n')
  const third = await resolveModel({ model: 'microsoft/phi-1', home })
  expect(third.folder).not.toBe(second.folder)
  expect(third.manifest.weightsDigest).toBe(second.manifest.weightsDigest)
})

test('a path is a compiled folder, wherever it lies', async () => {
  const source = join(root, 'mine')
  await writeRandomCheckpoint({ folder: source, configuration: tinyConfiguration, seed: 5 })
  const manifest = await compileCheckpoint({ source, out: join(root, 'compiled'), precision: 'fp32' })
  const moved = join(root, 'moved')
  await cp(join(root, 'compiled'), moved, { recursive: true })
  expect(await resolveModel({ model: moved, home })).toEqual({ folder: moved, manifest })
  await expect(resolveModel({ model: source, home })).rejects.toThrow('looks like a Hugging Face checkpoint')
})

test('a name that is nothing lists what there is', async () => {
  await expect(resolveModel({ model: 'gpt-5', home })).rejects.toThrow('neither in the catalogue (phi-mini, microsoft/phi-2')
})
