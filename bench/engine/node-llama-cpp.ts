/**
 * Installs node-llama-cpp into the bench's cache: it is the peer that the figures are compared with, and large, and
 * nothing else needs it. Everything comes from the npm registry: the package and its prebuilt llama.cpp for this
 * platform. Its install script, which would download or build another one, is not run.
 */
import { execFile } from 'node:child_process'
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export const llamaVersion = '3.22.1'

/** Names of the packages with the builds for processors, without those for graphics cards. */
const builds: Partial<Record<string, string>> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-x64': 'mac-x64',
  'darwin-arm64': 'mac-arm64-metal',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
}

/** Returns the folder with its node_modules. Throws an `Error` that says why there is none. */
export async function installLlama(cache: string): Promise<string> {
  const build = builds[`${process.platform}-${process.arch}`]
  if (build === undefined) throw new Error(`node-llama-cpp has no build for ${process.platform}-${process.arch}.`)
  const folder = join(cache, `node-llama-cpp-${llamaVersion}`)
  const packages = ['node-llama-cpp', `@node-llama-cpp/${build}`]
  const present = await Promise.all(packages.map((name) => stat(join(folder, 'node_modules', name, 'package.json')).then(() => true, () => false)))
  if (present.every(Boolean)) return folder
  await mkdir(folder, { recursive: true })
  const exact = packages.map((name) => `${name}@${llamaVersion}`)
  try {
    await promisify(execFile)(
      'npm',
      // Optional dependencies are the builds for all platforms, 700 MB; the one that is needed is named.
      ['install', '--prefix', folder, '--omit=optional', '--ignore-scripts', '--save-exact', '--no-audit', '--no-fund', ...exact],
      { shell: process.platform === 'win32', timeout: 10 * 60 * 1000 },
    )
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n').slice(-3).join(' ') : String(error)
    throw new Error(`npm could not install node-llama-cpp ${llamaVersion}: ${said}`, { cause: error })
  }
  return folder
}
