/**
 * A child process that is meant to run for as long as we do: started in a process group of its own, its output appended
 * to a log file, started again with a growing pause when it dies, and stopped with its whole group. What readiness
 * means is the child's business: it says so over its IPC channel, or is asked by `waitUntilReady`.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { z } from 'zod'

export interface ChildSpecification {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly logFile: string
  /** For a program that knows nothing of us; left out, the child sends `{type: 'ready'}`. */
  readonly waitUntilReady?: () => Promise<unknown>
  /** A line for the person at the terminal: the child died and is started again. */
  readonly say: (line: string) => void
}

export interface Supervised {
  /** Resolves when the child is first ready; rejects with the end of its log when it dies before. */
  readonly ready: Promise<void>
  /** Hears what the child says of its start-up. */
  onProgress(listener: (detail: string) => void): void
  /** SIGTERM, then SIGKILL to the whole group after `graceMs`. Resolves when the child is gone. */
  stop(graceMs: number): Promise<void>
}

const childMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({ type: z.literal('progress'), detail: z.string() }),
])

const firstPauseMs = 250
const longestPauseMs = 5000

export function supervise(specification: ChildSpecification): Supervised {
  const { name, command, args, environment, logFile, waitUntilReady, say } = specification
  let child: ChildProcess | undefined
  let timer: NodeJS.Timeout | undefined
  let stopping = false
  let wasReady = false
  let pauseMs = firstPauseMs
  let onProgress: (detail: string) => void = () => undefined
  const ready = Promise.withResolvers<void>()
  ready.promise.catch(() => undefined)

  function start(): void {
    const log = openSync(logFile, 'a', 0o600)
    // A group of its own: Ctrl-C in the terminal must not end a part before those that still need it.
    const started = spawn(command, args, {
      detached: true,
      stdio: waitUntilReady === undefined ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      env: { ...process.env, ...environment },
    })
    closeSync(log)
    child = started
    started.on('message', (message) => {
      const parsed = childMessageSchema.safeParse(message)
      if (!parsed.success) return
      if (parsed.data.type === 'progress') onProgress(parsed.data.detail)
      else isReady()
    })
    started.once('error', (error) => ready.reject(error))
    started.once('exit', (code, signal) => void ended(started, signal ?? `code ${code}`))
    waitUntilReady?.().then(isReady, (error: unknown) => void fail(error instanceof Error ? error.message : String(error)))
  }

  function isReady(): void {
    wasReady = true
    pauseMs = firstPauseMs
    ready.resolve()
  }

  async function fail(reason: string): Promise<void> {
    const log = await readFile(logFile, 'utf8').catch(() => '')
    ready.reject(new Error(`${reason}\n${log.trimEnd().split('\n').slice(-12).join('\n')}\nIts log: ${logFile}`))
  }

  async function ended(gone: ChildProcess, how: string): Promise<void> {
    killGroup(gone)
    child = undefined
    if (stopping) return
    if (!wasReady) return fail(`The ${name} ended with ${how}.`)
    say(`The ${name} ended with ${how}; it is started again.`)
    timer = setTimeout(start, pauseMs)
    pauseMs = Math.min(pauseMs * 2, longestPauseMs)
  }

  start()
  return {
    ready: ready.promise,
    onProgress(listener) {
      onProgress = listener
    },
    async stop(graceMs) {
      stopping = true
      clearTimeout(timer)
      if (child !== undefined) await stopChild(child, graceMs)
    },
  }
}

async function stopChild(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => killGroup(child), graceMs)
  await gone
  clearTimeout(timer)
}

/** A detached child leads a group that its own children are in; what they leave behind goes with it. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The group is empty: nothing was left behind.
  }
}
