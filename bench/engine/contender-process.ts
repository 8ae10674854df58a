/** Main file of a contender's process: opens it, and then does one command of its parent after the other. */
import type { Contender, ContenderSpecification, PositionScore } from './contender.ts'
import { openLlama } from './llama-contender.ts'
import { measure } from './measurements.ts'
import type { Measured, Measurement } from './measurements.ts'
import { openPhigate } from './phigate-contender.ts'

export type ContenderCommand =
  | { readonly type: 'measure'; readonly measurement: Measurement; readonly seed: number; readonly vocabularySize: number }
  | { readonly type: 'score'; readonly tokens: readonly number[] }
  | { readonly type: 'close' }

export type ContenderReply =
  | { readonly type: 'ready'; readonly warnings: readonly string[] }
  | { readonly type: 'measured'; readonly measured: Measured; readonly peakBytes: number }
  | { readonly type: 'scored'; readonly scores: readonly PositionScore[] }
  | { readonly type: 'failed'; readonly message: string }

const reply = (message: ContenderReply): void => void process.send?.(message)
const fail = (error: unknown): void => reply({ type: 'failed', message: error instanceof Error ? error.message : String(error) })

async function obey(contender: Contender, command: ContenderCommand): Promise<void> {
  switch (command.type) {
    case 'measure': {
      const measured = await measure(contender, command.measurement, command.seed, command.vocabularySize)
      return reply({ type: 'measured', measured, peakBytes: process.resourceUsage().maxRSS * 1024 })
    }
    case 'score':
      return reply({ type: 'scored', scores: await contender.score(command.tokens) })
    case 'close':
      await contender.close()
      // Whatever a library still keeps alive.
      process.exit(0)
  }
}

// Without its parent, nobody waits for the result.
process.once('disconnect', () => process.exit(1))
try {
  const specification = JSON.parse(process.argv[2]!) as ContenderSpecification
  const contender = specification.engine === 'phigate' ? await openPhigate(specification) : await openLlama(specification)
  process.on('message', (command: ContenderCommand) => void obey(contender, command).catch(fail))
  reply({ type: 'ready', warnings: contender.warnings })
} catch (error) {
  fail(error)
}
