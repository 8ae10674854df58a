/** The `phigate` program: every command of the command line, `npm start` and `npm test` included. */
import { Command, CommanderError } from 'commander'
import { readSettings } from './settings.ts'
import { UserError } from './user-error.ts'

const program = new Command('phigate')
  .description('Runs and operates Phigate: a licence-checked, moderated gateway to Phi models.')
  .showHelpAfterError()
  .exitOverride()

program
  .command('start')
  .description('run the whole system on this machine (npm start)')
  .addHelpText('after', '\nEnvironment: PORT (8787), REDIS_URL, PHIGATE_MODEL (catalogue id or compiled folder), PHIGATE_HOME (.phigate)')
  .action(async () => {
    const { start } = await import('./start/start.ts')
    process.exitCode = await start(readSettings(process.env))
  })

program
  .command('test')
  .description('type check, lint and run every test (npm test); arguments go to vitest')
  .argument('[vitest arguments...]')
  .allowUnknownOption()
  .action(async (args: string[]) => {
    const { test } = await import('./test.ts')
    process.exitCode = await test(readSettings(process.env), args)
  })

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = report(error)
}
// Whatever a failed step left open must not keep the program alive.
process.exit()

/** Exit codes: 0 done, 1 it failed, 2 it was called wrongly. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UserError) process.stderr.write(`\n${error.message}\n`)
  else process.stderr.write(`\n${error instanceof Error ? error.stack : String(error)}\n`)
  return 1
}
