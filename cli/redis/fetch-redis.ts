/**
 * A real Redis without root: on Debian and its relatives, the distribution's own packages are downloaded by apt into a
 * folder of ours, unpacked by dpkg, and run with their libraries from there. Nothing is installed, no file outside that
 * folder is written. apt checks the packages' signatures as it always does.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** How to start a server program: its path and what it needs in its environment. */
export interface RedisProgram {
  readonly path: string
  readonly environment: Readonly<Record<string, string>>
}

const packageName = 'redis-server'

/** Returns the program that an earlier `fetchRedis` left in `folder`, or undefined. */
export async function findFetchedRedis(folder: string): Promise<RedisProgram | undefined> {
  const root = join(folder, 'root')
  const path = join(root, 'usr', 'bin', packageName)
  if (!(await isExecutable(path))) return undefined
  const libraries = join(root, 'usr', 'lib')
  const triplets = (await readdir(libraries, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && entry.name.includes('-linux-'))
    .map((entry) => join(libraries, entry.name))
  return { path, environment: { LD_LIBRARY_PATH: [...triplets, libraries].join(delimiter) } }
}

/**
 * Downloads and unpacks Redis into `folder`. The folder is complete or absent: work happens beside it and is moved in
 * one step. Throws an `Error` with apt's own words when the system has no apt or the download fails.
 */
export async function fetchRedis(folder: string, say: (line: string) => void, signal?: AbortSignal): Promise<RedisProgram> {
  const work = `${folder}.partial-${process.pid}`
  await rm(work, { recursive: true, force: true })
  const lists = join(work, 'lists')
  const cache = join(work, 'cache')
  await mkdir(join(lists, 'partial'), { recursive: true })
  await mkdir(join(cache, 'archives', 'partial'), { recursive: true })
  const apt = [
    ['Dir::State::Lists', lists],
    ['Dir::Cache', cache],
    ['Debug::NoLocking', 'true'],
    ['APT::Sandbox::User', ''],
    ['Acquire::Retries', '2'],
    ['Acquire::http::Timeout', '20'],
    ['Acquire::https::Timeout', '20'],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`])
  try {
    say('reading the package lists')
    await run('apt-get', [...apt, 'update'], { timeout: 180_000, maxBuffer: 1 << 24, signal })
    const packages = await packagesToUnpack(apt, signal)
    say(`downloading ${packages.length} packages`)
    await run('apt-get', [...apt, 'download', ...packages], { cwd: work, timeout: 180_000, maxBuffer: 1 << 24, signal })
    for (const file of await readdir(work)) {
      if (file.endsWith('.deb')) await run('dpkg', ['-x', join(work, file), join(work, 'root')])
    }
    await rm(lists, { recursive: true, force: true })
    await rm(cache, { recursive: true, force: true })
    await rm(folder, { recursive: true, force: true })
    await rename(work, folder)
  } catch (error) {
    await rm(work, { recursive: true, force: true })
    throw new Error(`Redis could not be fetched from the system's packages: ${firstLine(error)}`, { cause: error })
  }
  const program = await findFetchedRedis(folder)
  if (program === undefined) throw new Error('The downloaded packages hold no redis-server program.')
  return program
}

/** Asks apt what an installation would add: the server and those of its libraries that this machine lacks. */
async function packagesToUnpack(apt: readonly string[], signal?: AbortSignal): Promise<string[]> {
  const simulate = ['install', '--simulate', '--no-install-recommends', packageName]
  const { stdout } = await run('apt-get', [...apt, ...simulate], { timeout: 60_000, maxBuffer: 1 << 24, signal })
  const added = [...stdout.matchAll(/^Inst (\S+) /gm)].map(([, name]) => name ?? '')
  // Already installed, but its program is not on the PATH: the server's package alone will do.
  return added.length > 0 ? added : [packageName, 'redis-tools']
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const lines = text.split('\n')
  return lines.find((line) => line.startsWith('E: ')) ?? lines[0] ?? text
}
