/**
 * Bundles the Worker into `dist/` as a deployment would, and skips that when nothing that goes into it has changed:
 * the stamp beside the bundle is the hash of its sources.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { UserError } from '../user-error.ts'

const sources = ['edge', 'safety', 'shared']
const files = ['wrangler.toml', 'package-lock.json']

/** Keeps wrangler from asking the network for anything, or telling it anything. */
export const quietWrangler = {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_HIDE_BANNER: 'true',
}

/** Returns the folder that holds index.js. Throws a `UserError` with wrangler's words when the bundle fails; the signal ends it. */
export async function bundleEdge(root: string, signal: AbortSignal): Promise<string> {
  const folder = join(root, 'dist')
  const stamp = join(folder, 'sources.sha256')
  const hash = await hashSources(root)
  if ((await readFile(stamp, 'utf8').catch(() => '')) === hash) return folder
  // A stamp never outlives the bundle that it belongs to.
  await rm(stamp, { force: true })
  const wrangler = join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js')
  try {
    await promisify(execFile)(process.execPath, [wrangler, 'deploy', '--dry-run', '--minify', '--outdir', folder], {
      cwd: root,
      env: { ...process.env, ...quietWrangler, CI: 'true' },
      maxBuffer: 1 << 24,
      signal,
    })
  } catch (error) {
    const output = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
    throw new UserError(`The gateway could not be bundled:\n${output.trim()}`, { cause: error })
  }
  await writeFile(stamp, hash)
  return folder
}

async function hashSources(root: string): Promise<string> {
  const hash = createHash('sha256')
  const paths = [...files]
  for (const folder of sources) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true, recursive: true })) {
      if (entry.isFile() && !entry.name.endsWith('.test.ts')) paths.push(join(entry.parentPath.slice(root.length + 1), entry.name))
    }
  }
  for (const path of paths.toSorted()) hash.update(`${path}\0`).update(await readFile(join(root, path))).update('\0')
  return hash.digest('hex')
}
