import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startImitationHub } from '../../test/support/imitation-hub.ts'
import type { ImitationHub } from '../../test/support/imitation-hub.ts'
import { pullModel } from './pull.ts'
import { tinyConfiguration, writeRandomCheckpoint } from './random-checkpoint.ts'
import { resolveModel } from './resolve.ts'

const id = 'microsoft/phi-2'
let root: string
let files: Record<string, Uint8Array>
let hub: ImitationHub
let home: string
let count = 0

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'phigate-pull-'))
  const checkpoint = join(root, 'checkpoint')
  await writeRandomCheckpoint({ folder: checkpoint, configuration: tinyConfiguration, seed: 9, type: 'F16', shards: 2 })
  const names = await readdir(checkpoint)
  files = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(checkpoint, name))] as const)))
  const unwanted = ['pytorch_model-00001-of-00001.bin', 'modeling_phi.py', 'tokenizer.py', 'README.md', '.gitattributes', 'sub/model.safetensors', '../escape.json']
  for (const name of unwanted) files[name] = new TextEncoder().encode('print("never fetched")')
})
beforeEach(async () => {
  home = join(root, `home-${count++}`)
  hub = await startImitationHub(id, files)
})
afterEach(() => hub.close())
afterAll(() => rm(root, { recursive: true }))

const pull = (options: Partial<Parameters<typeof pullModel>[0]> = {}) => pullModel({ id, home, hubUrl: hub.url, pauseMs: 10, ...options })
const bodies = (name: string): string[] => hub.requests.filter((request) => request.includes(`/storage/${name} `) && !request.endsWith('bytes=0-0'))
const weights = 'model-00001-of-00002.safetensors'

test('fetches what is read and nothing else, and the model then runs', async () => {
  const seen: number[] = []
  const { folder } = await pull({ onProgress: ({ doneBytes, totalBytes }) => seen.push(doneBytes / totalBytes) })
  expect((await readdir(folder)).toSorted()).toEqual([
    'config.json', 'generation_config.json', weights, 'model-00002-of-00002.safetensors',
    'model.safetensors.index.json', 'tokenizer.json', 'tokenizer_config.json',
  ])
  for (const name of await readdir(folder)) expect(new Uint8Array(await readFile(join(folder, name)))).toEqual(new Uint8Array(files[name]!))
  expect(await readdir(join(home, 'checkpoints'))).toEqual(['microsoft--phi-2'])
  expect(hub.requests.filter((request) => /\.bin|\.py|README|sub|escape/.test(request))).toEqual([])
  expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  expect(seen.at(-1)).toBe(1)
  await expect(resolveModel({ model: id, home })).resolves.toMatchObject({ manifest: { modelId: id, layers: 2 } })
})

test('a second pull asks the hub for nothing', async () => {
  const first = await pull()
  const before = hub.requests.length
  const second = await pull()
  expect(second.folder).toBe(first.folder)
  expect(second.files.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual(first.files.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
  expect(hub.requests.length).toBe(before)
})

describe('connections that break', () => {
  test('in the middle of a file: it goes on from there by itself', async () => {
    Object.assign(hub.behaviour, { cutAfter: 5000, cuts: 2 })
    const { folder } = await pull()
    expect(new Uint8Array(await readFile(join(folder, weights)))).toEqual(new Uint8Array(files[weights]!))
    const asked = bodies(weights)
    expect(asked.length).toBeGreaterThan(1)
    expect(asked.at(-1)).toMatch(/bytes=[1-9]\d*-\d+$/)
  })

  test('for good: what came is kept, and the next pull goes on from there', async () => {
    Object.assign(hub.behaviour, { cutAfter: 0 })
    const path = join(home, 'checkpoints', '.microsoft--phi-2.download')
    await mkdir(path, { recursive: true })
    await writeFile(join(path, `${weights}.part`), files[weights]!.subarray(0, 1234))
    await expect(pull()).rejects.toMatchObject({ failure: 'download-failed' })
    expect(await readdir(join(home, 'checkpoints'))).toEqual(['.microsoft--phi-2.download'])
    await expect(resolveModel({ model: id, home })).rejects.toThrow('model pull')
    hub.behaviour.cutAfter = undefined
    hub.requests.length = 0
    await pull()
    expect(bodies(weights)).toEqual([`GET /storage/${weights} bytes=1234-${files[weights]!.length - 1}`])
  })
})

describe('a hub that can not be used', () => {
  test('the wrong bytes are noticed and thrown away', async () => {
    hub.behaviour.listedSha256 = '0'.repeat(64)
    await expect(pull()).rejects.toThrow(/arrived with the sha256 checksum [0-9a-f]{64}, and the hub lists 0{64}/)
    expect((await readdir(join(home, 'checkpoints', '.microsoft--phi-2.download'))).filter((name) => name.includes('.safetensors') && !name.endsWith('.json'))).toEqual([])
    hub.behaviour.listedSha256 = undefined
    await expect(pull()).resolves.toMatchObject({ folder: join(home, 'checkpoints', 'microsoft--phi-2') })
  })

  test('a part of another version of the file is noticed', async () => {
    const path = join(home, 'checkpoints', '.microsoft--phi-2.download')
    await mkdir(path, { recursive: true })
    await writeFile(join(path, `${weights}.part`), new Uint8Array(3000).fill(7))
    await expect(pull()).rejects.toMatchObject({ failure: 'damaged' })
    await expect(pull()).resolves.toMatchObject({})
  })

  test('nothing listens there: it says what was tried and what can be done', async () => {
    const { url } = hub
    await hub.close()
    await expect(pull({ hubUrl: url })).rejects.toThrow(new RegExp(`could not be read from ${url}/microsoft/phi-2.*ECONNREFUSED.*PHIGATE_HUB_URL or HF_ENDPOINT`, 's'))
    hub = await startImitationHub(id, files)
  })

  test('a name that does not exist in the network', async () => {
    await expect(pull({ hubUrl: 'https://hub.invalid' })).rejects.toMatchObject({ failure: 'download-failed' })
  })

  test('it never answers', async () => {
    hub.behaviour.silent = true
    await expect(pull({ silenceMs: 100 })).rejects.toThrow('no answer within 0.1 s')
  })

  test.each([[401, 'HF_TOKEN'], [404, 'HF_TOKEN'], [503, 'the hub answered 503']])('it answers %i', async (status, message) => {
    hub.behaviour.listStatus = status
    await expect(pull({ accessToken: 'hf_secret' })).rejects.toThrow(message)
    await expect(pull({ accessToken: 'hf_secret' })).rejects.not.toThrow('hf_secret')
  })

  test('it ignores ranges', async () => {
    const path = join(home, 'checkpoints', '.microsoft--phi-2.download')
    await mkdir(path, { recursive: true })
    await writeFile(join(path, `${weights}.part`), files[weights]!.subarray(0, 1234))
    hub.behaviour.ignoresRange = true
    await expect(pull()).rejects.toThrow('does not support range requests')
  })

  test('an address that is none', async () => {
    await expect(pull({ hubUrl: 'file:///etc' })).rejects.toThrow('not the address of a hub')
  })
})

test('a repository with pickles alone is refused before anything is fetched', async () => {
  const other = await startImitationHub(id, { 'config.json': files['config.json']!, 'tokenizer.json': files['tokenizer.json']!, 'pytorch_model.bin': new Uint8Array(2000) })
  await expect(pull({ hubUrl: other.url })).rejects.toThrow('has no model.safetensors')
  expect(other.requests).toHaveLength(1)
  await other.close()
})

test('two pulls of one model at once: the second says so', async () => {
  const path = join(home, 'checkpoints')
  await mkdir(path, { recursive: true })
  await writeFile(join(path, '.microsoft--phi-2.lock'), String(process.pid))
  await expect(pull()).rejects.toThrow(`Another process is pulling microsoft/phi-2 (process ${process.pid})`)
  // The lock of a process that is gone does not hold; no process has this number.
  await writeFile(join(path, '.microsoft--phi-2.lock'), '2147483647')
  await expect(pull()).resolves.toMatchObject({})
})

test('ids that the hub has no part in', async () => {
  await expect(pull({ id: 'phi-mini' })).rejects.toThrow('bundled')
  await expect(pull({ id: 'microsoft/phi-4' })).rejects.toThrow('Models that can be pulled: microsoft/phi-2, microsoft/phi-1_5, microsoft/phi-1')
})
