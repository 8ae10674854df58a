/**
 * The two ways to run the gateway on this machine: the deployment bundle in workerd, as close to production as it gets
 * (gateway-process.ts), or `wrangler dev`, which is slow but reloads when a source file changes.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Settings } from '../settings.ts'
import { supervise } from '../supervise.ts'
import type { Supervised } from '../supervise.ts'
import { quietWrangler } from './bundle-edge.ts'
import { writePrivateFile } from './secrets.ts'

export interface GatewayOptions {
  readonly settings: Settings
  readonly redisUrl: string
  /** A JSON Web Key. */
  readonly grantPrivateKey: string
  readonly adminToken: string
  readonly say: (line: string) => void
}

/** Runs the bundle in `folder`. */
export function runBundle(folder: string, options: GatewayOptions): Supervised {
  const { root, home, port } = options.settings
  return supervise({
    name: 'gateway',
    command: process.execPath,
    args: [join(root, 'cli', 'start', 'gateway-process.ts')],
    logFile: join(home, 'logs', 'gateway.log'),
    environment: {
      ...quietWrangler,
      PHIGATE_ROOT: root,
      PHIGATE_BUNDLE: folder,
      PHIGATE_STATE: stateFolder(home),
      PORT: String(port),
      ...bindings(options),
    },
    say: options.say,
  })
}

/** Runs the sources with `wrangler dev`. Its D1 is the bundle's. The signal ends the preparation. */
export async function runSources(options: GatewayOptions, signal: AbortSignal): Promise<Supervised> {
  const { root, home, port } = options.settings
  const wrangler = join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js')
  // Secrets go by file: a command line is readable by every user of the machine.
  const variables = join(home, 'wrangler-dev.env')
  await writePrivateFile(
    variables,
    Object.entries(bindings(options))
      .map(([name, value]) => `${name}='${value}'\n`)
      .join(''),
  )
  const environment = { ...quietWrangler, CI: 'true' }
  const persist = ['--persist-to', join(stateFolder(home), '..')]
  await promisify(execFile)(process.execPath, [wrangler, 'd1', 'migrations', 'apply', 'phigate', '--local', ...persist], {
    cwd: root,
    env: { ...process.env, ...environment },
    signal,
  })
  return supervise({
    name: 'gateway',
    command: process.execPath,
    args: [wrangler, 'dev', '--ip', '127.0.0.1', '--port', String(port), '--env-file', variables, ...persist],
    logFile: join(home, 'logs', 'gateway.log'),
    environment,
    waitUntilReady: () => untilHealthy(`http://127.0.0.1:${port}/healthz`, 60_000),
    say: options.say,
  })
}

function bindings(options: GatewayOptions): Record<string, string> {
  return { REDIS_URL: options.redisUrl, GRANT_PRIVATE_KEY: options.grantPrivateKey, ADMIN_TOKEN: options.adminToken }
}

/** wrangler keeps its local resources in `v3` below the folder that `--persist-to` names. */
function stateFolder(home: string): string {
  return join(home, 'gateway', 'v3')
}

async function untilHealthy(url: string, timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs
  while (performance.now() < until) {
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok === true) return
    await delay(200)
  }
  throw new Error(`The gateway did not answer within ${timeoutMs / 1000} s.`)
}
