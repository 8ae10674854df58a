/** What a person may set through the environment for the programs on this machine. */
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { UserError } from './user-error.ts'

const environmentSchema = z.object({
  PORT: z.coerce.number().int().min(1).max(65_535).default(8787),
  PHIGATE_HOME: z.string().min(1).default('.phigate'),
  /** A catalogue id or a compiled folder. */
  PHIGATE_MODEL: z.string().min(1).default('phi-mini'),
})

export interface Settings {
  /** The project's folder. */
  readonly root: string
  readonly home: string
  readonly port: number
  readonly model: string
}

/** Reads the settings. Throws a `UserError` that names the variable at fault. */
export function readSettings(environment: NodeJS.ProcessEnv): Settings {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const parsed = environmentSchema.safeParse(set)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new UserError(`${issue?.path.join('.')} is not usable: ${issue?.message}.`)
  }
  const root = dirname(dirname(fileURLToPath(import.meta.url)))
  // npm runs scripts in the project's folder; a relative path means what it meant where the person typed it.
  const from = environment['INIT_CWD'] ?? process.cwd()
  const { PORT: port, PHIGATE_HOME: home, PHIGATE_MODEL: model } = parsed.data
  return {
    root,
    home: home === '.phigate' ? resolve(root, home) : resolve(from, home),
    port,
    model: /^[./~]/.test(model) ? resolve(from, model) : model,
  }
}
