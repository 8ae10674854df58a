/**
 * The gateway as a process: the deployment bundle in workerd, its sockets opened by workerd itself. That is 8 to 15
 * times the throughput of `wrangler dev`, which puts a proxy and a debugger in front of every request. Started by the
 * launcher, which it tells when it is ready and with which it ends.
 */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Miniflare, convertV4MiniflareOptions } from 'miniflare'
import { unstable_getMiniflareWorkerOptions, unstable_splitSqlQuery } from 'wrangler'
import { z } from 'zod'

const configuration = z
  .object({
    PHIGATE_ROOT: z.string(),
    PHIGATE_BUNDLE: z.string(),
    PHIGATE_STATE: z.string(),
    PORT: z.coerce.number().int(),
    REDIS_URL: z.string(),
    GRANT_PRIVATE_KEY: z.string(),
    ADMIN_TOKEN: z.string(),
  })
  .parse(process.env)

const root = configuration.PHIGATE_ROOT
const { workerOptions } = unstable_getMiniflareWorkerOptions(join(root, 'wrangler.toml'))
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    ...workerOptions,
    name: 'phigate',
    rootPath: undefined,
    modulesRules: undefined,
    cf: false,
    logRequests: false,
    resourcePersistencePath: configuration.PHIGATE_STATE,
    modulesRoot: configuration.PHIGATE_BUNDLE,
    modules: [{ type: 'ESModule', path: join(configuration.PHIGATE_BUNDLE, 'index.js') }],
    bindings: {
      ...Object(workerOptions.bindings),
      REDIS_URL: configuration.REDIS_URL,
      GRANT_PRIVATE_KEY: configuration.GRANT_PRIVATE_KEY,
      ADMIN_TOKEN: configuration.ADMIN_TOKEN,
    },
    unsafeDirectSockets: [{ host: '127.0.0.1', port: configuration.PORT }],
  }),
)

let stopping = false
async function stop(): Promise<void> {
  if (stopping) return
  stopping = true
  await miniflare.dispose()
  process.exit(0)
}
process.on('SIGTERM', () => void stop())
process.on('SIGINT', () => void stop())
// The launcher is gone, even if it was killed: a gateway without it would keep the port.
process.on('disconnect', () => void stop())

await miniflare.ready
await migrate()
process.send?.({ type: 'ready' })

/** Applies what is missing of edge/migrations, and records it where `wrangler d1 migrations` looks for it. */
async function migrate(): Promise<void> {
  const database = await miniflare.getD1Database('DB')
  await database
    .prepare('CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)')
    .run()
  const { results } = await database.prepare('SELECT name FROM d1_migrations').all()
  const applied = new Set(results.map((row) => row['name']))
  const folder = join(root, 'edge', 'migrations')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql') && !applied.has(name)).toSorted()
  for (const name of names) {
    const queries = unstable_splitSqlQuery(await readFile(join(folder, name), 'utf8'))
    // One batch is one transaction: a migration is applied and recorded, or neither.
    await database.batch([
      ...queries.map((query) => database.prepare(query)),
      database.prepare('INSERT INTO d1_migrations (name) VALUES (?)').bind(name),
    ])
  }
}
