/** `phigate key`: issue, list and revoke research keys through the gateway's admin API. */
import { Command } from 'commander'
import { z } from 'zod'
import { callGateway } from './admin-client.ts'
import { printTable } from './command-output.ts'
import { gatewayAccess, withGatewayOptions } from './gateway-option.ts'
import type { GatewayOptions } from './gateway-option.ts'

const keySchema = z.looseObject({
  id: z.string(),
  label: z.string(),
  owner: z.string(),
  institution: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
})
const issuedKeySchema = keySchema.extend({ key: z.string() })
const keyListSchema = z.object({ data: z.array(keySchema) })

interface CreateOptions extends GatewayOptions {
  readonly label: string
  readonly owner: string
  readonly institution: string
  readonly purpose: string
  readonly expires?: string
}

export function keyCommand(): Command {
  const command = new Command('key').description('issue, list and revoke research keys')

  withGatewayOptions(command.command('create'))
    .description('issue a research key; it is shown this once')
    .requiredOption('--label <text>', 'what the key is for, in a few words')
    .requiredOption('--owner <name>', 'who answers for its use')
    .requiredOption('--institution <name>', 'where the owner works')
    .requiredOption('--purpose <text>', 'the research it serves')
    .option('--expires <date>', 'when it ends, such as 2027-12-31')
    .action(async ({ json, gateway, expires, ...rest }: CreateOptions) => {
      const access = await gatewayAccess({ gateway })
      const body = {
        label: rest.label,
        owner: rest.owner,
        institution: rest.institution,
        purpose: rest.purpose,
        ...(expires === undefined ? {} : { expiresAt: expirySchema.parse(expires) }),
      }
      const issued = await callGateway(issuedKeySchema, `${access.origin}/admin/api/keys`, access.adminToken, body)
      if (json === true) return printTable([], true, issued)
      process.stdout.write(
        `${issued.key}\n\nThis is the only time the key is shown. It works once its licences are accepted:\n` +
          `  npm run phigate -- licence accept ${issued.id} --profile <profile> --by <name> --institution <name> --purpose <text>\n`,
      )
    })

  withGatewayOptions(command.command('list'))
    .description('list keys, the newest first')
    .action(async (options: GatewayOptions) => {
      const access = await gatewayAccess(options)
      const { data } = await callGateway(keyListSchema, `${access.origin}/admin/api/keys`, access.adminToken)
      const rows = data.map((key) => ({
        id: key.id,
        label: key.label,
        owner: key.owner,
        institution: key.institution,
        state: stateOf(key, new Date()),
      }))
      printTable(rows, options.json === true, data)
    })

  withGatewayOptions(command.command('revoke'))
    .description('revoke a key; every edge refuses it within ten seconds')
    .argument('<id>', 'the id that `key list` shows')
    .action(async (id: string, options: GatewayOptions) => {
      const access = await gatewayAccess(options)
      const url = `${access.origin}/admin/api/keys/${encodeURIComponent(id)}/revoke`
      const revoked = await callGateway(keySchema, url, access.adminToken, {})
      if (options.json === true) return printTable([], true, revoked)
      process.stdout.write(`Revoked ${revoked.id} (${revoked.label}).\n`)
    })

  return command
}

/** A date or a date and time, as the ISO 8601 instant that the admin API takes. */
const expirySchema = z.coerce
  .date({ error: 'The expiry is not a date; write it like 2027-12-31.' })
  .transform((date) => date.toISOString())

function stateOf(key: z.infer<typeof keySchema>, now: Date): string {
  if (key.revokedAt !== null) return `revoked ${key.revokedAt.slice(0, 10)}`
  if (key.expiresAt === null) return 'valid'
  return `${new Date(key.expiresAt) <= now ? 'expired' : 'valid until'} ${key.expiresAt.slice(0, 10)}`
}
