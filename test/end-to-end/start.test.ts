import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../cli/free-port.ts'
import { launch, makeHome, runCommand, startSystem, until } from '../support/system.ts'
import type { System } from '../support/system.ts'

let home: string
let system: System

beforeAll(async () => {
  home = await makeHome()
  system = await startSystem({ home })
})
afterAll(async () => {
  await system.stop()
  await rm(home, { recursive: true, force: true })
})

/** Command lines of all processes that were started for this PHIGATE_HOME. */
async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    if (`${command}\0${environment}`.includes(folder)) found.push(command.replaceAll('\0', ' '))
  }
  return found
}

test('the curl line of the banner works as it is pasted, and streams to the end', async () => {
  const line = system.output().slice(system.output().indexOf('curl -N'), system.output().indexOf('Ctrl-C stops'))
  const { stdout } = await promisify(execFile)('sh', ['-c', line])
  expect(stdout).toContain('chat.completion.chunk')
  expect(stdout.trimEnd().endsWith('data: [DONE]')).toBe(true)
})

test('dev.json holds what other programs need and nobody else can read it', async () => {
  const path = join(home, 'dev.json')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(system.dev)
  expect(system.dev.baseUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1$/)
  expect(system.dev.pid).toBe(system.launcher.pid)
})

test('a second start in the same folder says that one runs already', async () => {
  const { code, output } = await runCommand(['start'], { PHIGATE_HOME: home, PORT: '1' })
  expect(code).toBe(1)
  expect(output).toContain(`as process ${system.launcher.pid}`)
})

test('a taken port is named, with what to do', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((listening) => server.once('listening', listening))
  const { port } = server.address() as AddressInfo
  const other = await makeHome()
  const { code, output } = await runCommand(['start'], { PHIGATE_HOME: other, PORT: String(port) })
  server.close()
  await rm(other, { recursive: true })
  expect(code).toBe(1)
  expect(output).toContain(`Port ${port} of 127.0.0.1 is taken`)
  expect(output).toContain(`PORT=${port + 1} npm start`)
})

test('a Redis that does not answer is named, with the three ways to have one', async () => {
  const other = await makeHome()
  const { code, output } = await runCommand(['start'], { PHIGATE_HOME: other, PORT: '1', REDIS_URL: 'redis://:secret-word@127.0.0.1:9' })
  await rm(other, { recursive: true })
  expect(code).toBe(1)
  expect(output).toContain('REDIS_URL')
  expect(output).toContain('valkey-server')
  expect(output).not.toContain('secret-word')
})

test('no secret is in any log', async () => {
  const { grantKey, redisPassword } = JSON.parse(await readFile(join(home, 'secrets.json'), 'utf8')) as {
    grantKey: { d: string }
    redisPassword: string
  }
  await system.post('/v1/completions', { model: 'phi-mini', prompt: 'a most private question', max_tokens: 2 })
  for (const name of await readdir(join(home, 'logs'))) {
    const log = await readFile(join(home, 'logs', name), 'utf8')
    for (const secret of [system.dev.researchKey, system.dev.adminToken, grantKey.d, redisPassword, 'a most private question']) {
      expect(log.includes(secret), `${name} holds a secret`).toBe(false)
    }
  }
})

test('SIGTERM stops everything, and the next start shows the same key', async () => {
  const { researchKey } = system.dev
  expect((await processesOf(home)).length).toBeGreaterThanOrEqual(4)
  expect(await system.stop()).toBe(0)
  expect(await processesOf(home)).toEqual([])
  expect(existsSync(join(home, 'dev.json'))).toBe(false)

  system = await startSystem({ home })
  expect(system.dev.researchKey).toBe(researchKey)
  expect((await system.request('/v1/models')).status).toBe(200)
})

test('kill -9 of the launcher: its parts go too, and the next start finds all data', async () => {
  const { researchKey } = system.dev
  await system.post('/v1/completions', { model: 'phi-mini', prompt: 'Hello', max_tokens: 1 })
  system.launcher.kill('SIGKILL')
  await until(async () => (await processesOf(home)).every((command) => command.includes('redis-server')), 'the end of worker and gateway')

  system = await startSystem({ home })
  expect(system.dev.researchKey).toBe(researchKey)
  expect((await processesOf(home)).filter((command) => command.includes('redis-server'))).toHaveLength(1)
})

test.each([
  ['a Redis that does not answer yet', 'sleep 61'],
  ['the gateway', 'gateway-process.ts'],
  ['the worker', 'gpu-worker/main.ts'],
])('SIGTERM while %s is starting leaves nothing behind', async (_name, part) => {
  const other = await makeHome()
  const slowRedis = join(other, 'bin')
  await mkdir(slowRedis)
  await writeFile(join(slowRedis, 'redis-server'), '#!/bin/sh\nexec sleep 61\n', { mode: 0o755 })
  const path = process.env['PATH'] ?? ''
  const launcher = launch(['start'], {
    PHIGATE_HOME: other,
    PORT: String(await freePort()),
    PATH: part.startsWith('sleep') ? `${slowRedis}:${path}` : path,
  })
  const exited = new Promise<number | null>((done) => launcher.once('exit', (code) => done(code)))
  await until(async () => (await processesOf(other)).some((command) => command.includes(part)), part)
  launcher.kill('SIGTERM')
  expect(await exited).toBe(0)
  expect(await processesOf(other)).toEqual([])
  await rm(other, { recursive: true })
})
