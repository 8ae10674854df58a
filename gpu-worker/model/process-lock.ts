/** A file that one living process holds; it keeps two processes of a machine from writing the same download. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { modelError } from './model-error.ts'

/**
 * Returns the function that lets go of the lock. Throws `occupied`, beginning with `refusal`, while another living
 * process holds it. A lock whose process is gone is taken over.
 */
export async function lockFile(path: string, refusal: string): Promise<() => Promise<void>> {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' })
      return () => rm(path, { force: true })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''))
    if (isAlive(holder)) throw modelError('occupied', `${refusal} (process ${holder}). Wait for it, or end it.`)
    await rm(path, { force: true })
  }
  throw modelError('occupied', `${refusal}.`)
}

export function isAlive(processId: number): boolean {
  if (!Number.isSafeInteger(processId) || processId <= 0) return false
  try {
    process.kill(processId, 0)
    return true
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
