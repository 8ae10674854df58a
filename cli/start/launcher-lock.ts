/** One launcher per PHIGATE_HOME: a file that holds the launcher's process id and is taken over when that is gone. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isAlive } from '../../gpu-worker/model/process-lock.ts'
import { UserError } from '../user-error.ts'

/** Takes the lock; returns the function that gives it back. Throws a `UserError` when another launcher holds it. */
export async function lockHome(home: string): Promise<() => Promise<void>> {
  await mkdir(home, { recursive: true, mode: 0o700 })
  const path = join(home, 'launcher.pid')
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx', mode: 0o600 })
      return () => rm(path, { force: true })
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'EEXIST') throw error
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''))
    if (isAlive(holder)) {
      throw new UserError(
        `Phigate already runs from ${home} as process ${holder}; dev.json there says where.\n` +
          `Stop it with \`kill ${holder}\`, or use another folder: PHIGATE_HOME=<folder> PORT=<port> npm start.\n` +
          `If that process is something else, delete ${path}.`,
      )
    }
    await rm(path, { force: true })
  }
}
