/** What a worker process is told through its environment. A value that can not be used is named, never shown. */
import { resolve } from 'node:path'
import { z } from 'zod'
import { grantKeySchema } from '../shared/grant.ts'
import type { GrantKey } from '../shared/grant.ts'
import type { LeaseSettings } from './queue/consumer.ts'

const milliseconds = z.coerce.number().int()

const environmentSchema = z.object({
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'it must be a URL that starts with redis:// or rediss://' }),
  /** A catalogue id or a compiled folder. */
  PHIGATE_MODEL: z.string().default('phi-mini'),
  PHIGATE_HOME: z.string().default('.phigate'),
  PHIGATE_GRANT_PUBLIC_KEY: z.string({ error: 'it must hold the JSON Web Key that verifies grants' }).transform((text, context): GrantKey => {
    const parsed = z.safeParse(grantKeySchema, parseJson(text))
    if (parsed.success && parsed.data.d === undefined) return parsed.data
    const message = parsed.success
      ? 'it holds the private key, which belongs to the gateway alone; leave out "d"'
      : 'it must be a JSON Web Key of kind OKP / Ed25519 with "kid" and "x"'
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }),
  /** Sequences side by side; the engine decides by its memory when it is not set. */
  PHIGATE_SLOTS: z.coerce.number().int().min(1).max(1024).optional(),
  PHIGATE_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
  /** A worker that was not heard of for this long loses its jobs to others. */
  PHIGATE_LEASE_MS: milliseconds.min(300).max(600_000).default(6000),
  /** How long running jobs may take to end when the worker is asked to stop. */
  PHIGATE_DRAIN_MS: milliseconds.min(0).max(3_600_000).default(3000),
})

export interface Configuration {
  readonly redisUrl: string
  readonly model: string
  readonly home: string
  readonly grantKey: GrantKey
  readonly slots: number | undefined
  readonly logLevel: string
  readonly lease: LeaseSettings
  readonly drainMs: number
}

/** Throws an `Error` that names each variable at fault and what is wrong with it. */
export function readConfiguration(environment: NodeJS.ProcessEnv): Configuration {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const parsed = environmentSchema.safeParse(set)
  if (!parsed.success) {
    throw new Error(parsed.error.issues.map(({ path, message }) => `${path.join('.')} is not usable: ${message}.`).join(' '))
  }
  const { data } = parsed
  return {
    redisUrl: data.REDIS_URL,
    model: data.PHIGATE_MODEL,
    home: resolve(data.PHIGATE_HOME),
    grantKey: data.PHIGATE_GRANT_PUBLIC_KEY,
    slots: data.PHIGATE_SLOTS,
    logLevel: data.PHIGATE_LOG_LEVEL,
    lease: leaseSettings(data.PHIGATE_LEASE_MS),
    drainMs: data.PHIGATE_DRAIN_MS,
  }
}

/** Two renewals in a row may be lost before the lease is. */
export function leaseSettings(lapseMs: number): LeaseSettings {
  return { lapseMs, renewMs: lapseMs / 3, reclaimMs: lapseMs / 6, forgetMs: lapseMs * 10 }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
