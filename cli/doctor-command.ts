/** `phigate doctor`: looks at everything the system needs on this machine and says what is missing and what to do. */
import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import { Command } from 'commander'
import { printTable } from './command-output.ts'
import { isPortFree } from './free-port.ts'
import { locateRedis, threeWays } from './redis/find-redis.ts'
import { waitForRedis } from './redis/start-redis.ts'
import { readSettings } from './settings.ts'
import type { Settings } from './settings.ts'
import { readDevFile } from './start/dev-file.ts'

type Finding = { readonly check: string; readonly state: 'ok' | 'problem'; readonly detail: string }

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check what this machine has and what is missing')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const settings = readSettings(process.env)
      const findings = await Promise.all([machine(), redis(settings), onnxruntime(), port(settings), disk(settings)])
      printTable(findings, options.json === true)
      if (findings.some(({ state }) => state === 'problem')) process.exitCode = 1
    })
}

async function machine(): Promise<Finding> {
  const memory = (totalmem() / 2 ** 30).toFixed(0)
  return { check: 'machine', state: 'ok', detail: `Node ${process.versions.node}, ${availableParallelism()} cores, ${memory} GiB` }
}

async function redis(settings: Settings): Promise<Finding> {
  try {
    const source = await locateRedis(settings.home, process.env)
    if (source === undefined) return { check: 'Redis', state: 'problem', detail: `none yet; \`npm start\` would try to fetch it.\n${threeWays}` }
    if (source.type === 'program') return { check: 'Redis', state: 'ok', detail: source.program.path }
    return { check: 'Redis', state: 'ok', detail: `REDIS_URL answers, version ${await waitForRedis(source.url, 3000)}` }
  } catch (error) {
    return { check: 'Redis', state: 'problem', detail: firstLine(error) }
  }
}

async function onnxruntime(): Promise<Finding> {
  try {
    // Loading it is the check: a missing system library shows here and nowhere earlier.
    createRequire(import.meta.url)('onnxruntime-node')
    return { check: 'onnxruntime', state: 'ok', detail: 'loads; forward passes run on the CPU' }
  } catch (error) {
    return { check: 'onnxruntime', state: 'problem', detail: `${firstLine(error)} Run \`npm ci\` again on this machine.` }
  }
}

async function port(settings: Settings): Promise<Finding> {
  const running = await readDevFile(settings.home)
  if (running !== undefined) return { check: 'gateway', state: 'ok', detail: `runs at ${running.baseUrl}` }
  if (await isPortFree(settings.port)) return { check: 'port', state: 'ok', detail: `${settings.port} is free` }
  return { check: 'port', state: 'problem', detail: `${settings.port} is taken; choose another: PORT=${settings.port + 1} npm start` }
}

async function disk(settings: Settings): Promise<Finding> {
  const { bavail, bsize } = await statfs(settings.root)
  const free = (bavail * bsize) / 2 ** 30
  const detail = `${free.toFixed(1)} GiB free`
  return free > 1 ? { check: 'disk', state: 'ok', detail } : { check: 'disk', state: 'problem', detail: `${detail}; compiled models need room` }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
}
