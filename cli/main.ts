/** The `phigate` program: every command of the command line, `npm start` and `npm test` included. */
import { Command, CommanderError } from 'commander'
import { doctorCommand } from './doctor-command.ts'
import { keyCommand } from './key-command.ts'
import { licenceCommand } from './licence-command.ts'
import { modelCommand } from './model-command.ts'
import { readSettings } from './settings.ts'
import { UserError } from './user-error.ts'

const program = new Command('phigate')
  .description('Runs and operates Phigate: a licence-checked, moderated gateway to Phi models.')

program
  .command('start')
  .description('run the whole system on this machine (npm start)')
  .addHelpText('after', '\nEnvironment: PORT (8787), REDIS_URL, PHIGATE_MODEL (catalogue id or compiled folder), PHIGATE_HOME (.phigate)')
  .action(async () => {
    const { start } = await import('./start/start.ts')
    process.exitCode = await start(readSettings(process.env))
  })

program
  .command('dev')
  .description('like start, with a gateway that reloads when its sources change (npm run dev)')
  .action(async () => {
    const { start } = await import('./start/start.ts')
    process.exitCode = await start(readSettings(process.env), 'sources')
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

program
  .command('worker')
  .description('run one GPU worker against REDIS_URL; its settings are in docs/operation.md')
  .action(async () => {
    await import('../gpu-worker/main.ts')
    // The worker ends the process itself.
    await new Promise(() => undefined)
  })

program.addCommand(modelCommand())
program.addCommand(keyCommand())
program.addCommand(licenceCommand())
program.addCommand(doctorCommand())

reportUsageErrors(program)
try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = report(error)
}
// Whatever a failed step left open must not keep the program alive.
process.exit()

/** Commander would exit with 1 for a wrong call; every command throws instead, and `report` gives 2. */
function reportUsageErrors(command: Command): void {
  command.exitOverride().showHelpAfterError()
  for (const child of command.commands) reportUsageErrors(child)
}

/** Exit codes: 0 done, 1 it failed, 2 it was called wrongly. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UserError) process.stderr.write(`\n${error.message}\n`)
  else process.stderr.write(`\n${error instanceof Error ? error.stack : String(error)}\n`)
  return 1
}
