/** The Worker's bindings, checked once per isolate. A message about a wrong one names it and never shows its value. */
import * as z from 'zod'
import { grantKeySchema } from '../shared/grant.ts'
import type { Hub } from './hub/hub.ts'

export interface Bindings {
  readonly HUB: DurableObjectNamespace<Hub>
  readonly DB: D1Database
}

const unsetWhenEmpty = (value: unknown): unknown => (value === '' ? undefined : value)

/** 32 bytes in base64url, as both parts of an Ed25519 key are (RFC 8037). */
const keyPartSchema = z.string('is missing').regex(/^[\w-]{43}$/, 'must be 32 bytes in base64url')

const settingsSchema = z.object({
  REDIS_URL: z.string().regex(/^rediss?:\/\/./, 'must be a redis:// or rediss:// URL'),
  GRANT_PRIVATE_KEY: z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown
      } catch {
        context.addIssue('must be a JSON Web Key')
        return z.NEVER
      }
    })
    .pipe(grantKeySchema.extend({ x: keyPartSchema, d: keyPartSchema })),
  ADMIN_TOKEN: z.preprocess(unsetWhenEmpty, z.string().min(16, 'must have at least 16 characters').optional()),
  HUB_SHARDS: z.coerce.number().int().min(1).max(64).default(4),
  JOB_DEADLINE_SECONDS: z.coerce.number().int().min(1).max(3_600).default(600),
  /** Comma-separated origins such as https://lab.example. */
  ALLOWED_ORIGINS: z.preprocess(
    unsetWhenEmpty,
    z
      .string()
      .transform((text) => text.split(',').map((origin) => origin.trim()))
      .pipe(z.array(z.string().refine(isOrigin, 'must be origins such as https://lab.example, separated by commas')))
      .default([]),
  ),
})
export type Settings = z.infer<typeof settingsSchema>

export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
}

/** The checked settings. Throws `ConfigurationError`, whose message is fit for a log. */
export function readSettings(bindings: unknown): Settings {
  const result = settingsSchema.safeParse(bindings)
  const faults = (['HUB', 'DB'] as const)
    .filter((name) => typeof bindings !== 'object' || bindings === null || !(name in bindings))
    .map((name) => `${name}: the binding is missing`)
  for (const issue of result.error?.issues ?? []) faults.push(`${issue.path.join('.')}: ${issue.message}`)
  if (!result.success || faults.length > 0) throw new ConfigurationError(`The gateway is not configured: ${faults.join('; ')}`)
  return result.data
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}
