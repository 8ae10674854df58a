/**
 * The first program that runs, on whatever Node (20 or newer) the machine has and before anything is installed: plain
 * JavaScript on built-in modules alone. It installs the dependencies when they are missing or the lockfile has changed,
 * and hands over to the TypeScript program on the pinned Node that the dependencies bring.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.phigate-lockfile')

if (Number(process.versions.node.split('.')[0]) < 20) {
  fail(`Phigate needs Node 20 or newer; this is ${process.version}. Install a newer Node and try again.`)
}
const lockfile = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex')
if (!isInstalled()) await install()
run(pinnedNode(), [join(root, 'cli', 'main.ts'), ...process.argv.slice(2)])

function isInstalled() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === lockfile
}

async function install() {
  const started = Date.now()
  process.stderr.write('Installing dependencies (first run only, about 900 MB on disk) …\n')
  // npm draws its own progress on a terminal; a log gets a sign of life instead.
  const ticker = process.stderr.isTTY ? undefined : setInterval(() => process.stderr.write(`  … ${seconds(started)} s\n`), 10_000)
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const code = await new Promise((resolve) => {
    const child = spawn(npm, ['ci', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
    child.on('error', (error) => {
      process.stderr.write(`npm could not be started: ${error.message}\n`)
      resolve(1)
    })
    child.on('exit', resolve)
  })
  clearInterval(ticker)
  if (code !== 0) fail('Installing the dependencies failed; npm says above why. Run `npm ci` to see it alone.')
  writeFileSync(stamp, lockfile)
  process.stderr.write(`Dependencies installed in ${seconds(started)} s.\n`)
}

/** The Node of the optional dependency for this platform, or this very Node where it is new enough itself. */
function pinnedNode() {
  const pinned = join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(pinned)) return pinned
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath
  fail(`There is no packaged Node 24 for ${process.platform}-${process.arch}; install Node 24 yourself and try again.`)
}

function run(node, args) {
  // Programs of dependencies start with `env node`; they must get this Node as well.
  const path = [dirname(node), join(modules, '.bin'), process.env.PATH ?? ''].join(delimiter)
  const child = spawn(node, args, { cwd: root, stdio: 'inherit', env: { ...process.env, PATH: path } })
  // A terminal sends Ctrl-C to the child as well; what arrives here alone is passed on. Waiting for the child is enough.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)))
}

function seconds(since) {
  return Math.round((Date.now() - since) / 1000)
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
