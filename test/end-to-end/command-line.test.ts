import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommand, startSystem } from '../support/system.ts'
import type { System } from '../support/system.ts'

let system: System
beforeAll(async () => {
  system = await startSystem()
})
afterAll(() => system.stop())

async function phigate(...args: string[]): Promise<{ code: number | null; output: string }> {
  return runCommand(args, { PHIGATE_HOME: system.home })
}

function complete(key: string): Promise<Response> {
  return fetch(`${system.dev.baseUrl}/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'phi-mini', prompt: 'Hello', max_tokens: 1 }),
  })
}

test('a key’s life: issued, its licence accepted, used, listed, revoked', async () => {
  const person = ['--owner', 'Ada', '--institution', 'Example University', '--purpose', 'evaluation']
  const created = await phigate('key', 'create', '--label', 'reading group', ...person, '--expires', '2099-12-31', '--json')
  expect(created.code).toBe(0)
  const { id, key } = JSON.parse(created.output) as { id: string; key: string }
  expect(key).toMatch(/^pg-research-[0-9A-Za-z]{49}$/)

  expect((await complete(key)).status).toBe(403)
  const accepted = await phigate('licence', 'accept', id, '--profile', 'mit', '--by', 'Ada', ...person.slice(2))
  expect(accepted).toMatchObject({ code: 0, output: expect.stringContaining('Ada accepts mit') })
  await expect.poll(async () => (await complete(key)).status, { timeout: 12_000 }).toBe(200)

  const listed = await phigate('key', 'list')
  expect(listed.output).toContain(id)
  expect(listed.output).toContain('valid until 2099-12-31')
  expect(listed.output).not.toContain(key)

  expect((await phigate('key', 'revoke', id)).code).toBe(0)
  await expect.poll(async () => (await complete(key)).status, { timeout: 12_000 }).toBe(401)
  expect((await phigate('key', 'list')).output).toMatch(new RegExp(`${id}.*revoked`))
})

test('licence terms are shown with their version', async () => {
  const { code, output } = await phigate('licence', 'show', '--json')
  expect(code).toBe(0)
  const profiles = JSON.parse(output) as { id: string; version: string }[]
  expect(profiles.map(({ id }) => id)).toContain('mit')
  expect(profiles.every(({ version }) => version.startsWith('sha256:'))).toBe(true)
})

test('doctor finds the running gateway and no problem', async () => {
  const { code, output } = await phigate('doctor')
  expect(output).toContain(system.dev.baseUrl)
  expect(output).not.toContain('problem')
  expect(code).toBe(0)
})

describe('a wrong call', () => {
  test.each([[['key', 'create']], [['licence', 'accept', 'x', '--profile', 'none']], [['nonsense']], [['model', 'compile']]])(
    '%j exits with 2 and says what is missing',
    async (args) => {
      const { code, output } = await phigate(...args)
      expect(code).toBe(2)
      expect(output).toMatch(/error: /)
    },
  )

  test('without a gateway the command says how to start one', async () => {
    const home = await mkdtemp(join(tmpdir(), 'phigate-empty-'))
    const { code, output } = await runCommand(['key', 'list'], { PHIGATE_HOME: home })
    await rm(home, { recursive: true })
    expect(code).toBe(1)
    expect(output).toContain('npm start')
  })

  test('an unknown key is named as such', async () => {
    const { code, output } = await phigate('key', 'revoke', 'key_000000000000000000000000')
    expect(code).toBe(1)
    expect(output.trim().split('\n')).toHaveLength(1)
  })
})

test('every command explains itself', async () => {
  const { code, output } = await phigate('--help')
  expect(code).toBe(0)
  const commands = [...output.matchAll(/^ {2}([a-z]+)\b/gm)].map(([, name]) => name ?? '').filter((name) => name !== 'help')
  expect(commands).toEqual(expect.arrayContaining(['start', 'dev', 'test', 'model', 'key', 'licence', 'worker', 'doctor']))
  const helps = await Promise.all(commands.map((command) => phigate(command, '--help')))
  expect(helps.every((help) => help.code === 0 && help.output.startsWith('Usage: phigate'))).toBe(true)
})
