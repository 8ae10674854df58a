import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tinyConfiguration, writeRandomCheckpoint } from '../gpu-worker/model/random-checkpoint.ts'

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'phigate-model-command-'))
  await writeRandomCheckpoint({ folder: join(root, 'checkpoint'), configuration: tinyConfiguration, seed: 1 })
})
afterAll(() => rm(root, { recursive: true }))

/** Runs `phigate model …` in the test's folder, with a hub that is not there. */
async function model(...parts: string[]) {
  const { INIT_CWD: _, ...environment } = process.env
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), 'model', ...parts], {
    cwd: root,
    env: { ...environment, PHIGATE_HOME: join(root, 'home'), PHIGATE_HUB_URL: 'http://127.0.0.1:9', HF_TOKEN: 'hf_secret' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit') as Promise<[number | null]>])
  return { code, stdout, stderr }
}

test('compiles a folder, verifies it, and finds a damaged one', async () => {
  const compiled = await model('compile', 'checkpoint', '--precision', 'fp32', '--out', 'compiled', '--id', 'lab/phi', '--licence', 'mit', '--json')
  expect(compiled).toMatchObject({ code: 0, stderr: '' })
  expect(JSON.parse(compiled.stdout)).toMatchObject({ folder: join(root, 'compiled'), manifest: { modelId: 'lab/phi', licence: 'mit', layers: 2 } })

  expect(await model('verify', 'compiled')).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('is whole: lab/phi, fp32') })
  await writeFile(join(root, 'compiled', 'tokenizer.json'), '{}')
  expect(await model('verify', 'compiled')).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('is damaged') })
})

test('says what a precision costs', async () => {
  await writeFile(join(root, 'text.txt'), 'To be, or not to be, that is the question.')
  expect(await model('compile', 'checkpoint', '--precision', 'int4', '--block', '64', '--out', 'int4')).toMatchObject({ code: 0, stderr: '' })
  const { code, stdout, stderr } = await model('verify', 'int4', '--against', 'checkpoint', '--text', 'text.txt', '--json')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout)).toMatchObject({
    ok: true, manifest: { precision: 'int4', blockSize: 64 },
    comparison: { tokens: 42, predictions: 41, klDivergence: { mean: expect.any(Number), p99: expect.any(Number) }, topAgreement: expect.any(Number) },
  })
  expect((await model('verify', 'int4', '--against', 'checkpoint', '--text', 'text.txt')).stdout).toMatch(/KL divergence, mean \(nats\) +0\.0/)
  expect(await model('verify', 'int4', '--against', 'checkpoint', '--text', 'nowhere.txt')).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('nowhere.txt') })
})

test('lists the catalogue for people and for machines', async () => {
  const forPeople = await model('list')
  expect(forPeople.code).toBe(0)
  expect(forPeople.stdout).toMatch(/phi-mini +bundled/)
  expect(forPeople.stdout).toMatch(/microsoft\/phi-2 +not pulled/)
  const { stdout } = await model('list', '--json')
  expect((JSON.parse(stdout) as { id: string }[]).map(({ id }) => id)).toEqual(['phi-mini', 'microsoft/phi-2', 'microsoft/phi-1_5', 'microsoft/phi-1'])
})

test('a pull without a hub fails at once, says what to do, and keeps the token to itself', async () => {
  const { code, stdout, stderr } = await model('pull', 'microsoft/phi-2')
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('could not be read from http://127.0.0.1:9/microsoft/phi-2')
  expect(stderr).toContain('PHIGATE_HUB_URL')
  expect(stderr).not.toContain('hf_secret')
  expect(stderr).not.toContain('    at ')
})

test.each<[string[], string]>([
  [['compile', 'checkpoint', '--out', 'x'], '--precision'],
  [['compile', 'checkpoint', '--precision', 'int3', '--out', 'x'], 'fp32'],
  [['compile', 'checkpoint', '--precision', 'fp32', '--out', 'x', '--licence', 'none'], 'phigate-research and mit'],
  [['compile', 'checkpoint', '--precision', 'fp32', '--out', 'x', '--id', '../x'], 'model id'],
  [['compile', 'checkpoint', '--precision', 'int4', '--block', '33', '--out', 'x'], '32, 64, 128'],
  [['verify', 'x', '--against', 'checkpoint'], 'belong together'],
  [['pull'], 'missing required argument'],
  [['frobnicate'], 'frobnicate'],
])('a wrong call ends with 2: %j', async (parts, message) => {
  const { code, stderr } = await model(...parts)
  expect(code).toBe(2)
  expect(stderr).toContain(message)
})

test('a folder that can not be compiled ends with 1 and a message without a stack', async () => {
  const { code, stderr } = await model('compile', 'nowhere', '--precision', 'fp32', '--out', 'x')
  expect(code).toBe(1)
  expect(stderr).toContain('has no config.json')
  expect(stderr).not.toContain('    at ')
})
