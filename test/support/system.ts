/**
 * The whole system as a user starts it: `npm start`'s own program on a free port, in a folder of its own, on real parts.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort } from '../../cli/free-port.ts'
import { findRedis } from '../../cli/redis/find-redis.ts'
import { devFileSchema } from '../../cli/start/dev-file.ts'
import type { DevFile } from '../../cli/start/dev-file.ts'

export interface System {
  readonly dev: DevFile
  /** Such as `http://127.0.0.1:8787`. */
  readonly origin: string
  readonly home: string
  readonly launcher: ChildProcess
  /** Everything that the launcher has printed. */
  output(): string
  /** A request to the API with the demo key; `path` such as `/v1/models`. */
  request(path: string, init?: RequestInit): Promise<Response>
  /** POSTs JSON with the demo key. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>
  /** Process id of the GPU worker that runs now. */
  workerPid(): Promise<number>
  redis(): Redis
  /** SIGTERM, as a service manager would. Resolves with the launcher's exit code. */
  stop(): Promise<number | null>
}

export interface SystemOptions {
  readonly model?: string
  /** Kept between two systems to see a second start. */
  readonly home?: string
  readonly environment?: Readonly<Record<string, string>>
}

const root = resolve(import.meta.dirname, '..', '..')

/** Starts the system and waits until it is ready. Throws with what the launcher printed when it is not. */
export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const home = options.home ?? (await makeHome())
  const port = await freePort()
  const clients: Redis[] = []
  let output = ''
  const launcher = launch(['start'], {
    PORT: String(port),
    PHIGATE_HOME: home,
    ...(options.model === undefined ? {} : { PHIGATE_MODEL: options.model }),
    ...options.environment,
  })
  const collect = (chunk: Buffer): void => void (output += chunk.toString())
  launcher.stdout?.on('data', collect)
  launcher.stderr?.on('data', collect)
  const exited = new Promise<number | null>((done) => launcher.once('exit', (code) => done(code)))
  await Promise.race([untilReady(() => output), exited])
  if (launcher.exitCode !== null) throw new Error(`The system did not start.\n${output}`)
  const dev = devFileSchema.parse(JSON.parse(await readFile(join(home, 'dev.json'), 'utf8')))
  const origin = dev.baseUrl.replace(/\/v1$/, '')
  const request: System['request'] = (path, init = {}) =>
    fetch(`${origin}${path}`, { ...init, headers: { authorization: `Bearer ${dev.researchKey}`, ...init.headers } })
  return {
    dev,
    origin,
    home,
    launcher,
    output: () => output,
    request,
    post: (path, body, init = {}) =>
      request(path, { method: 'POST', body: JSON.stringify(body), ...init, headers: { 'content-type': 'application/json', ...init.headers } }),
    workerPid: () => workerPid(home),
    redis() {
      const client = new Redis(dev.redisUrl)
      clients.push(client)
      return client
    },
    async stop() {
      for (const client of clients) client.disconnect()
      launcher.kill('SIGTERM')
      const code = await exited
      if (options.home === undefined) await rm(home, { recursive: true, force: true })
      return code
    },
  }
}

/** Compiles a checkpoint folder with the command line and serves it, as a researcher with weights of their own would. */
export async function serveCheckpoint(checkpoint: string): Promise<{ system: System; model: string }> {
  const compiled = `${checkpoint}-compiled`
  const { code, output } = await runCommand(['model', 'compile', checkpoint, '--precision', 'fp32', '--out', compiled])
  if (code !== 0) throw new Error(`The checkpoint was not compiled.\n${output}`)
  const system = await startSystem({ model: compiled })
  const models = (await (await system.request('/v1/models')).json()) as { data: { id: string }[] }
  return { system, model: models.data[0]?.id ?? '' }
}

/** Runs the command line as `npm run phigate -- <args>` does once the dependencies are there. */
export function launch(args: readonly string[], environment: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, [join(root, 'cli', 'main.ts'), ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
  })
}

/** Runs a command of the program to its end; `output` is what it printed on both channels. */
export async function runCommand(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; output: string }> {
  const child = launch(args, environment)
  let output = ''
  const collect = (chunk: Buffer): void => void (output += chunk.toString())
  child.stdout?.on('data', collect)
  child.stderr?.on('data', collect)
  const code = await new Promise<number | null>((done) => child.once('close', done))
  return { code, output }
}

/** A fresh PHIGATE_HOME that shares the fetched Redis program of the project's own, so that tests download nothing. */
export async function makeHome(): Promise<string> {
  const shared = resolve(root, '.phigate')
  const source = await findRedis(shared, { PATH: process.env['PATH'] }, () => undefined)
  const home = await mkdtemp(join(tmpdir(), 'phigate-system-'))
  if (source.type === 'program' && source.origin === 'fetched') {
    await symlink(join(shared, 'redis-server'), join(home, 'redis-server'))
  }
  return home
}

async function untilReady(output: () => string): Promise<void> {
  while (!output().includes('Ctrl-C stops everything.')) await delay(50)
}

async function workerPid(home: string): Promise<number> {
  const lines = (await readFile(join(home, 'logs', 'worker.log'), 'utf8')).trimEnd().split('\n')
  for (const line of lines.toReversed()) {
    if (!line.startsWith('{')) continue
    const record = JSON.parse(line) as { pid?: number }
    if (record.pid !== undefined) return record.pid
  }
  throw new Error('The worker has not logged its process id.')
}

/** Waits until `condition` holds; throws after `timeoutMs`. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 30_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Waited ${timeoutMs / 1000} s for: ${what}`)
    await delay(50)
  }
}
