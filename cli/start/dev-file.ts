/** `dev.json` in PHIGATE_HOME: where the running local system is and how to get in. Mode 0600; gone after a clean stop. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { isAlive } from '../../gpu-worker/model/process-lock.ts'
import { writePrivateFile } from './secrets.ts'

export const devFileSchema = z.object({
  /** Ends in /v1: what an OpenAI SDK wants. */
  baseUrl: z.url(),
  /** Null while this version serves no console. */
  consoleUrl: z.url().nullable(),
  /** Null while this version serves no widget. */
  widgetDemoUrl: z.url().nullable(),
  researchKey: z.string(),
  widgetKey: z.string().nullable(),
  adminToken: z.string(),
  redisUrl: z.string(),
  /** Process that a SIGTERM stops the whole system with. */
  pid: z.int().positive(),
})
export type DevFile = z.infer<typeof devFileSchema>

/** Returns the file's content when the process that wrote it still runs. */
export async function readDevFile(home: string): Promise<DevFile | undefined> {
  const text = await readFile(devFilePath(home), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    const file = devFileSchema.parse(JSON.parse(text))
    return isAlive(file.pid) ? file : undefined
  } catch {
    return undefined
  }
}

export async function writeDevFile(home: string, file: DevFile): Promise<void> {
  await writePrivateFile(devFilePath(home), `${JSON.stringify(file, null, 2)}\n`)
}

export async function removeDevFile(home: string): Promise<void> {
  await rm(devFilePath(home), { force: true })
}

export function devFilePath(home: string): string {
  return join(home, 'dev.json')
}
