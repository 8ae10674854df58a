/**
 * `npm test`: type check, lint, then every test on a real Redis. The last line of its output is the count of tests
 * alone on a line; a failed check makes the exit code 1 even when all tests pass.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import type { Settings } from './settings.ts'
import { quietWrangler } from './start/bundle-edge.ts'

const countsSchema = z.object({ numPassedTests: z.int(), numFailedTests: z.int(), numPendingTests: z.int(), numTodoTests: z.int() })

/** Returns the exit code. */
export async function test(settings: Settings, vitestArguments: readonly string[]): Promise<number> {
  const bin = (name: string): string => join(settings.root, 'node_modules', '.bin', name)
  const checks: [string, string, string[]][] = [
    ['Types', bin('tsc'), ['-p', 'tsconfig.json']],
    ['Types of the edge', bin('tsc'), ['-p', 'edge/tsconfig.json']],
    ['Lint', bin('oxlint'), ['--deny-warnings']],
  ]
  let failedChecks = 0
  for (const [title, command, args] of checks) {
    console.log(`\n${title}: ${command.slice(settings.root.length + 1)} ${args.join(' ')}`)
    if ((await run(settings.root, command, args)) !== 0) failedChecks += 1
  }

  const folder = await mkdtemp(join(tmpdir(), 'phigate-test-'))
  const report = join(folder, 'report.json')
  const code = await run(settings.root, bin('vitest'), [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...vitestArguments,
  ])
  const counts = await readFile(report, 'utf8').then(
    (text) => countsSchema.parse(JSON.parse(text)),
    () => undefined,
  )
  await rm(folder, { recursive: true, force: true })

  if (failedChecks > 0) console.log(`\n${failedChecks} of ${checks.length} checks failed; see above.`)
  if (counts === undefined) {
    console.log('\nThe test runner left no report.')
    return 1
  }
  const skipped = counts.numPendingTests + counts.numTodoTests
  console.log(`\n${counts.numPassedTests} passed, ${counts.numFailedTests} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return code === 0 && failedChecks === 0 ? 0 : 1
}

function run(folder: string, command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: folder, stdio: 'inherit', env: { ...process.env, ...quietWrangler } })
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
