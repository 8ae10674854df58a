/** `phigate licence`: show the licence profiles, and record that the holder of a key has accepted one. */
import { Command, Option } from 'commander'
import { z } from 'zod'
import { licenceProfile, licenceProfileIds, licenceVersion } from '../shared/licence-profiles.ts'
import type { LicenceProfileId } from '../shared/licence-profiles.ts'
import { callGateway } from './admin-client.ts'
import { printTable } from './command-output.ts'
import { gatewayAccess, withGatewayOptions } from './gateway-option.ts'
import type { GatewayOptions } from './gateway-option.ts'

interface AcceptOptions extends GatewayOptions {
  readonly profile: LicenceProfileId
  readonly by: string
  readonly institution: string
  readonly purpose: string
}

const acceptanceSchema = z.looseObject({ profile: z.string(), version: z.string() })

export function licenceCommand(): Command {
  const command = new Command('licence').description('show licence profiles and record their acceptance')

  command
    .command('show')
    .description('print the terms of a profile, or of all')
    .argument('[profile]', licenceProfileIds.join(' | '))
    .option('--json', 'print JSON')
    .action(async (only: string | undefined, options: { json?: boolean }) => {
      const ids = licenceProfileIds.filter((id) => only === undefined || id === only)
      if (ids.length === 0) command.error(`There is no profile ${only}; there are ${licenceProfileIds.join(', ')}.`, { exitCode: 2 })
      const shown = await Promise.all(ids.map(async (id) => ({ ...licenceProfile(id), version: await licenceVersion(licenceProfile(id)) })))
      if (options.json === true) return printTable([], true, shown)
      for (const { id, name, version, text } of shown) process.stdout.write(`${id} (${name}), version ${version}\n\n${text}\n\n`)
    })

  withGatewayOptions(command.command('accept'))
    .description('record that the holder of a key accepts a profile')
    .argument('<key-id>', 'the id that `key list` shows')
    .addOption(new Option('--profile <profile>', 'which terms').choices(licenceProfileIds).makeOptionMandatory())
    .requiredOption('--by <name>', 'who accepts')
    .requiredOption('--institution <name>', 'for which institution')
    .requiredOption('--purpose <text>', 'the research it serves')
    .action(async (keyId: string, options: AcceptOptions) => {
      const access = await gatewayAccess(options)
      const url = `${access.origin}/admin/api/keys/${encodeURIComponent(keyId)}/licence-acceptances`
      const { profile, by: acceptedBy, institution, purpose } = options
      const accepted = await callGateway(acceptanceSchema, url, access.adminToken, { profile, acceptedBy, institution, purpose })
      if (options.json === true) return printTable([], true, accepted)
      process.stdout.write(`${acceptedBy} accepts ${accepted.profile}, version ${accepted.version}, for ${keyId}.\n`)
    })

  return command
}
