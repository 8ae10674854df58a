/** The key store on D1. One query per function on the hot path: a key comes with its acceptances in one join. */
import { and, desc, eq, isNull } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/d1'
import { apiError } from '../../shared/errors.ts'
import { createId } from '../../shared/ids.ts'
import type { KeyStore, LicenceAcceptance, ResearchKey } from './key-store.ts'
import { keys, licenceAcceptances } from './schema.ts'

interface JoinedRow {
  readonly keys: typeof keys.$inferSelect
  readonly licence_acceptances: typeof licenceAcceptances.$inferSelect | null
}

export function createD1KeyStore(binding: D1Database): KeyStore {
  const database = drizzle(binding)
  const selectKeys = () => database.select().from(keys).leftJoin(licenceAcceptances, eq(licenceAcceptances.keyId, keys.id))

  const findById = async (id: string) => groupByKey(await selectKeys().where(eq(keys.id, id)))[0]

  return {
    create: (key, now) =>
      reportingFailure(async () => {
        const row = { ...key, id: createId('key'), createdAt: now, revokedAt: null }
        await database.insert(keys).values(row)
        return researchKey(row, [])
      }),

    findByHash: (hash) => reportingFailure(async () => groupByKey(await selectKeys().where(eq(keys.hash, hash)))[0]),

    list: () => reportingFailure(async () => groupByKey(await selectKeys().orderBy(desc(keys.createdAt), desc(keys.id)))),

    revoke: (id, now) =>
      reportingFailure(async () => {
        await database.update(keys).set({ revokedAt: now }).where(and(eq(keys.id, id), isNull(keys.revokedAt)))
        return findById(id)
      }),

    accept: (id, acceptance, now) =>
      reportingFailure(async () => {
        if ((await findById(id)) === undefined) return undefined
        const inserted = await database
          .insert(licenceAcceptances)
          .values({ ...acceptance, id: createId('acceptance'), keyId: id, acceptedAt: now })
          .onConflictDoNothing()
          .returning({ id: licenceAcceptances.id })
        const recorded = (await findById(id))?.acceptances.find(
          (one) => one.profile === acceptance.profile && one.version === acceptance.version,
        )
        return recorded && { acceptance: recorded, added: inserted.length > 0 }
      }),
  }
}

function groupByKey(rows: readonly JoinedRow[]): ResearchKey[] {
  const groups = new Map<string, { key: JoinedRow['keys']; acceptances: LicenceAcceptance[] }>()
  for (const row of rows) {
    const group = groups.get(row.keys.id) ?? { key: row.keys, acceptances: [] }
    groups.set(row.keys.id, group)
    if (row.licence_acceptances !== null) {
      const { keyId: _, ...acceptance } = row.licence_acceptances
      group.acceptances.push(acceptance)
    }
  }
  return Array.from(groups.values(), ({ key, acceptances }) => researchKey(key, acceptances))
}

function researchKey(row: typeof keys.$inferSelect, acceptances: readonly LicenceAcceptance[]): ResearchKey {
  const { hash: _, ...key } = row
  return { ...key, acceptances }
}

async function reportingFailure<Result>(query: () => Promise<Result>): Promise<Result> {
  try {
    return await query()
  } catch (error) {
    // Drizzle's own message repeats the query's parameters; D1's message, its cause, names the fault alone.
    const cause = error instanceof Error ? (error.cause ?? error) : error
    throw apiError('database_unavailable', 'The key database does not answer. Try again in a moment.', { cause })
  }
}
