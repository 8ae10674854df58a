/**
 * The demo research key of a local installation: issued through the gateway's own admin API like any other key, with
 * the licences of all served models accepted, and kept in the secrets file so that the next start shows the same one.
 */
import { z } from 'zod'
import { GatewayRefusal, callGateway } from '../admin-client.ts'
import type { GatewayAccess } from '../admin-client.ts'

export const demoKeySchema = z.object({ id: z.string(), key: z.string() })
export type DemoKey = z.infer<typeof demoKeySchema>

const licencesSchema = z.object({ data: z.array(z.object({ profile: z.string(), accepted: z.boolean() })) })

/** Returns `known` if the gateway still takes it, else a new key; either way with all licences accepted. */
export async function ensureDemoKey(gateway: GatewayAccess, known: DemoKey | null): Promise<DemoKey> {
  const demoKey = known !== null && (await isAccepted(gateway, known)) ? known : await issue(gateway)
  const { data } = await licences(gateway, demoKey)
  for (const { profile } of data.filter((licence) => !licence.accepted)) {
    await callGateway(z.unknown(), `${gateway.origin}/admin/api/keys/${demoKey.id}/licence-acceptances`, gateway.adminToken, {
      profile,
      acceptedBy: 'npm start',
      institution: 'local demo',
      purpose: 'Trying Phigate on this machine.',
    })
  }
  return demoKey
}

function licences(gateway: GatewayAccess, { key }: DemoKey): Promise<z.infer<typeof licencesSchema>> {
  return callGateway(licencesSchema, `${gateway.origin}/v1/licences`, key)
}

async function isAccepted(gateway: GatewayAccess, demoKey: DemoKey): Promise<boolean> {
  try {
    await licences(gateway, demoKey)
    return true
  } catch (error) {
    // Revoked, or the database is a new one.
    if (error instanceof GatewayRefusal && error.status === 401) return false
    throw error
  }
}

function issue(gateway: GatewayAccess): Promise<DemoKey> {
  return callGateway(demoKeySchema, `${gateway.origin}/admin/api/keys`, gateway.adminToken, {
    label: 'local demo key',
    owner: 'npm start',
    institution: 'local demo',
    purpose: 'Trying Phigate on this machine.',
  })
}
