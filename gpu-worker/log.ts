/**
 * The worker's log: one JSON object a line on standard output, with fields to search by (`worker`, `job`, `trace`,
 * `model`). Prompts, outputs and keys are never logged.
 */
import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'

export function createLog(level: string, destination?: DestinationStream): Logger {
  return pino({ level, serializers: { err: describeError } }, destination ?? pino.destination({ dest: 1, sync: true }))
}

/** Only what is listed: ioredis hangs the command with its arguments, and so the text of a job, on its errors. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { type: typeof error }
  const { name, message, stack, cause } = error
  return { type: name, message, stack, ...(cause !== undefined && { cause: describeError(cause) }) }
}
