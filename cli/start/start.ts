/**
 * `npm start`: the whole system on this machine. It finds or starts everything the picture in the README shows, waits
 * until a real completion has come through all of it, says where things are, keeps the parts alive, and stops them in
 * the order in which they depend on each other.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { callGateway } from '../admin-client.ts'
import { freePort, isPortFree } from '../free-port.ts'
import { createProgress } from '../progress.ts'
import { findRedis, threeWays } from '../redis/find-redis.ts'
import { startRedis, waitForRedis } from '../redis/start-redis.ts'
import type { Settings } from '../settings.ts'
import { supervise } from '../supervise.ts'
import { UserError } from '../user-error.ts'
import { banner } from './banner.ts'
import { bundleEdge } from './bundle-edge.ts'
import { ensureDemoKey } from './demo-key.ts'
import { removeDevFile, writeDevFile } from './dev-file.ts'
import { runBundle, runSources } from './gateway.ts'
import { lockHome } from './launcher-lock.ts'
import { loadSecrets, saveSecrets } from './secrets.ts'

const modelsSchema = z.object({ data: z.array(z.object({ id: z.string() })).min(1) })
const completionSchema = z.object({ choices: z.array(z.object({ text: z.string() })).length(1) })

/**
 * Runs until a signal arrives; returns the exit code. The gateway runs as it is deployed (`bundle`), or reloads when its
 * sources change (`sources`). Throws a `UserError` when something cannot start.
 */
export async function start(settings: Settings, mode: 'bundle' | 'sources' = 'bundle'): Promise<number> {
  const { root, home, port, model } = settings
  const startedAt = performance.now()
  const interrupted = interruption()
  const unlock = await lockHome(home)
  const stops: (() => Promise<void>)[] = [unlock]
  const progress = createProgress()
  const say = (line: string): void => void process.stderr.write(`${line}\n`)

  /** A step that a signal cuts short: what it left running is stopped like the rest. */
  const step = <Result>(title: string, work: (detail: (text: string) => void) => Promise<Result>): Promise<Result> =>
    Promise.race([progress.step(title, work), interrupted.whenInterrupted])

  try {
    if (!(await isPortFree(port))) {
      throw new UserError(`Port ${port} of 127.0.0.1 is taken. Stop what uses it, or choose another: PORT=${port + 1} npm start`)
    }
    await mkdir(join(home, 'logs'), { recursive: true, mode: 0o700 })
    const secrets = await loadSecrets(home)

    const redisUrl = await step('Redis', async (detail) => {
      const source = await findRedis(home, process.env, detail, interrupted.signal).catch(asUserError)
      if (source.type === 'running') {
        detail('REDIS_URL')
        await requireRedis(source.url)
        return source.url
      }
      interrupted.signal.throwIfAborted()
      detail(source.origin === 'path' ? source.program.path : 'fetched from the system’s packages')
      const { url, server } = await startRedis({
        program: source.program,
        folder: join(home, 'redis'),
        port: await freePort(),
        password: secrets.redisPassword,
        say,
      })
      stops.push(() => server.stop(1500))
      await server.ready.catch(asUserError)
      return url
    })

    const gatewayOptions = {
      settings,
      redisUrl,
      grantPrivateKey: JSON.stringify(secrets.grantKey),
      adminToken: secrets.adminToken,
      say,
    }
    const gatewayProcess =
      mode === 'sources'
        ? await step('Preparing wrangler dev', () => runSources(gatewayOptions, interrupted.signal))
        : runBundle(await step('Bundling the gateway', () => bundleEdge(root, interrupted.signal)), gatewayOptions)
    stops.push(() => gatewayProcess.stop(1500))
    const { d: _, ...grantPublicKey } = secrets.grantKey
    const worker = supervise({
      name: 'GPU worker',
      command: process.execPath,
      args: [join(root, 'gpu-worker', 'main.ts')],
      logFile: join(home, 'logs', 'worker.log'),
      environment: {
        REDIS_URL: redisUrl,
        PHIGATE_HOME: home,
        PHIGATE_MODEL: model,
        PHIGATE_GRANT_PUBLIC_KEY: JSON.stringify(grantPublicKey),
      },
      say,
    })
    // Stopped in reverse: the worker drains while the gateway still carries its last streams, and Redis goes last.
    stops.push(() => worker.stop(5000))

    await step('Gateway', () => gatewayProcess.ready.catch(asUserError))
    await step('GPU worker', (detail) => {
      worker.onProgress(detail)
      return worker.ready.catch(asUserError)
    })
    const gateway = { origin: `http://127.0.0.1:${port}`, adminToken: secrets.adminToken }
    const demoKey = await step('Demo key', () => ensureDemoKey(gateway, secrets.demoKey))
    await saveSecrets(home, { ...secrets, demoKey })
    const servedModel = await step('A first completion', () => firstCompletion(gateway.origin, demoKey.key))

    await writeDevFile(home, {
      baseUrl: `${gateway.origin}/v1`,
      consoleUrl: null,
      widgetDemoUrl: null,
      researchKey: demoKey.key,
      widgetKey: null,
      adminToken: secrets.adminToken,
      redisUrl,
      pid: process.pid,
    })
    stops.push(() => removeDevFile(home))
    process.stdout.write(
      banner({ origin: gateway.origin, key: demoKey.key, model: servedModel, home, seconds: (performance.now() - startedAt) / 1000 }),
    )
    await interrupted.whenInterrupted
    return 0
  } catch (error) {
    if (error instanceof Interrupted) {
      say('Stopping …')
      return 0
    }
    throw error
  } finally {
    for (const stop of stops.toReversed()) await stop()
    interrupted.release()
  }
}

class Interrupted extends Error {}

/**
 * On the first SIGINT, SIGTERM or SIGHUP the promise rejects and the signal aborts, which ends what a step has running.
 * The second ends the process at once.
 */
function interruption(): { readonly whenInterrupted: Promise<never>; readonly signal: AbortSignal; release(): void } {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => undefined)
  const controller = new AbortController()
  let count = 0
  const onSignal = (): void => {
    count += 1
    if (count > 1) process.exit(1)
    reject(new Interrupted())
    controller.abort()
  }
  for (const signal of signals) process.on(signal, onSignal)
  return {
    whenInterrupted: promise,
    signal: controller.signal,
    release() {
      for (const signal of signals) process.off(signal, onSignal)
    },
  }
}

async function requireRedis(url: string): Promise<void> {
  const version = await waitForRedis(url, 5000).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(`The server that REDIS_URL names does not answer (${reason}).\n${threeWays}`, { cause: error })
  })
  if (Number(version.split('.')[0]) < 7) throw new UserError(`The server that REDIS_URL names is Redis ${version}.\n${threeWays}`)
}

/** Waits until a completion has come through every part; returns the model that answered. */
async function firstCompletion(origin: string, key: string): Promise<string> {
  const until = performance.now() + 30_000
  for (;;) {
    try {
      const models = await callGateway(modelsSchema, `${origin}/v1/models`, key)
      const model = models.data[0]?.id ?? ''
      await callGateway(completionSchema, `${origin}/v1/completions`, key, { model, prompt: 'Hello', max_tokens: 1, temperature: 0 })
      return model
    } catch (error) {
      if (performance.now() > until) {
        throw new UserError(`No completion came through: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
      }
      await delay(100)
    }
  }
}

function asUserError(error: unknown): never {
  throw new UserError(error instanceof Error ? error.message : String(error), { cause: error })
}
