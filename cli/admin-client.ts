/** A client of the gateway's admin API and of the few public routes that the command line needs. */
import { z } from 'zod'
import { UserError } from './user-error.ts'

export interface GatewayAccess {
  /** Such as `http://127.0.0.1:8787`. */
  readonly origin: string
  readonly adminToken: string
}

const errorBodySchema = z.object({ error: z.object({ message: z.string(), code: z.string().nullable() }) })

/**
 * Calls the gateway and returns the JSON of its answer, checked against `schema`. Throws a `UserError` with the
 * gateway's own message when it refuses, or when nothing answers.
 */
export async function callGateway<Shape extends z.ZodType>(
  schema: Shape,
  url: string,
  bearer: string,
  body?: unknown,
  method = body === undefined ? 'GET' : 'POST',
): Promise<z.infer<Shape>> {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${bearer}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  }).catch((error: unknown) => {
    throw new UserError(`Nothing answers at ${new URL(url).origin}. Is the gateway running? Start it with \`npm start\`.`, { cause: error })
  })
  const answer: unknown = await response.json().catch(() => undefined)
  if (response.ok) return schema.parse(answer)
  const refusal = errorBodySchema.safeParse(answer)
  throw new GatewayRefusal(response.status, refusal.success ? refusal.data.error.message : `The gateway answered ${response.status}.`)
}

/** The gateway understood the request and said no. */
export class GatewayRefusal extends UserError {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}
