/** The D1 tables of research keys; edge/migrations makes them. Times are Unix milliseconds. */
import { index, integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import { licenceProfileIds } from '../../shared/licence-profiles.ts'

export const keys = sqliteTable('keys', {
  id: text('id').primaryKey(),
  hash: text('hash').notNull().unique(),
  label: text('label').notNull(),
  owner: text('owner').notNull(),
  institution: text('institution').notNull(),
  purpose: text('purpose').notNull(),
  createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
  expiresAt: integer('expires_at', { mode: 'timestamp_ms' }),
  revokedAt: integer('revoked_at', { mode: 'timestamp_ms' }),
}, (table) => [index('keys_created_at').on(table.createdAt)])

export const licenceAcceptances = sqliteTable('licence_acceptances', {
  id: text('id').primaryKey(),
  keyId: text('key_id').notNull().references(() => keys.id),
  profile: text('profile', { enum: licenceProfileIds }).notNull(),
  version: text('version').notNull(),
  acceptedBy: text('accepted_by').notNull(),
  purpose: text('purpose').notNull(),
  institution: text('institution').notNull(),
  acceptedAt: integer('accepted_at', { mode: 'timestamp_ms' }).notNull(),
}, (table) => [uniqueIndex('licence_acceptances_once').on(table.keyId, table.profile, table.version)])
