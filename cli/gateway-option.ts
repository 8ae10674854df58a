/** Which gateway an administrative command speaks to, and with which token. */
import type { Command } from 'commander'
import type { GatewayAccess } from './admin-client.ts'
import { readSettings } from './settings.ts'
import { readDevFile } from './start/dev-file.ts'
import { UserError } from './user-error.ts'

export interface GatewayOptions {
  readonly gateway?: string | undefined
  readonly json?: boolean
}

export function withGatewayOptions(command: Command): Command {
  return command
    .option('--gateway <origin>', 'a gateway elsewhere, such as https://gateway.example; its token comes from PHIGATE_ADMIN_TOKEN')
    .option('--json', 'print JSON')
}

/** The gateway that `--gateway` names, else the one that runs on this machine. Throws a `UserError` when there is none. */
export async function gatewayAccess(options: GatewayOptions): Promise<GatewayAccess> {
  if (options.gateway !== undefined) {
    const adminToken = process.env['PHIGATE_ADMIN_TOKEN']
    if (adminToken === undefined || adminToken === '') throw new UserError('Set PHIGATE_ADMIN_TOKEN to the admin token of that gateway.')
    return { origin: originOf(options.gateway), adminToken }
  }
  const dev = await readDevFile(readSettings(process.env).home)
  if (dev === undefined) throw new UserError('No gateway runs on this machine. Start it with `npm start`, or name one with --gateway.')
  return { origin: originOf(dev.baseUrl), adminToken: dev.adminToken }
}

function originOf(url: string): string {
  try {
    return new URL(url).origin
  } catch (error) {
    throw new UserError(`${url} is not a URL. Write it like https://gateway.example.`, { cause: error })
  }
}
