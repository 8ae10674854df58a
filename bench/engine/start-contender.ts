/** A contender's process as the bench sees it. Its own process, so that its peak memory is its own. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ContenderSpecification, PositionScore } from './contender.ts'
import type { ContenderCommand, ContenderReply } from './contender-process.ts'
import type { Measured, Measurement } from './measurements.ts'

export interface RunningContender {
  readonly specification: ContenderSpecification
  readonly warnings: readonly string[]
  measure(measurement: Measurement, seed: number, vocabularySize: number): Promise<Measured>
  score(tokens: readonly number[]): Promise<readonly PositionScore[]>
  /** The process's highest resident set so far, in bytes; mapped files count as far as they were read. */
  readonly peakBytes: number
  close(): Promise<void>
}

/** Resolves when the model is loaded. This and its methods throw an `Error` with the process's message. */
export async function startContender(specification: ContenderSpecification): Promise<RunningContender> {
  const child = fork(fileURLToPath(new URL('./contender-process.ts', import.meta.url)), [JSON.stringify(specification)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  let settle: { resolve: (reply: ContenderReply) => void; reject: (error: Error) => void } | undefined
  child.on('message', (reply: ContenderReply) => {
    if (reply.type === 'failed') settle?.reject(new Error(`${specification.name}: ${reply.message}`))
    else settle?.resolve(reply)
  })
  child.once('exit', (code, signal) => settle?.reject(new Error(`${specification.name} has ended (${signal ?? code}).`)))
  child.once('error', (error) => settle?.reject(error))

  async function replyOf<Type extends ContenderReply['type']>(type: Type, command?: ContenderCommand): Promise<Extract<ContenderReply, { type: Type }>> {
    const reply = await new Promise<ContenderReply>((resolve, reject) => {
      settle = { resolve, reject }
      if (command !== undefined) child.send(command, (error) => error && reject(error))
    })
    if (reply.type !== type) throw new Error(`${specification.name} answered ${reply.type} instead of ${type}.`)
    return reply as Extract<ContenderReply, { type: Type }>
  }

  let peakBytes = 0
  try {
    const { warnings } = await replyOf('ready')
    return {
      specification,
      warnings,
      async measure(measurement, seed, vocabularySize) {
        const reply = await replyOf('measured', { type: 'measure', measurement, seed, vocabularySize })
        peakBytes = reply.peakBytes
        return reply.measured
      },
      async score(tokens) {
        return (await replyOf('scored', { type: 'score', tokens })).scores
      },
      get peakBytes() {
        return peakBytes
      },
      async close() {
        settle = undefined
        if (child.connected) child.send({ type: 'close' } satisfies ContenderCommand)
        const impatience = setTimeout(() => child.kill('SIGKILL'), 10_000)
        await exited
        clearTimeout(impatience)
      },
    }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
}
