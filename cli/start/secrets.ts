/**
 * What a local installation must remember between starts and nobody else may read: `secrets.json` in PHIGATE_HOME,
 * mode 0600, made on the first start.
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exportJWK, generateKeyPair } from 'jose'
import { z } from 'zod'
import { grantKeySchema } from '../../shared/grant.ts'
import { UserError } from '../user-error.ts'
import { demoKeySchema } from './demo-key.ts'

const secretsSchema = z.object({
  adminToken: z.string().min(32),
  redisPassword: z.string().min(32),
  grantKey: grantKeySchema.required(),
  /** The demo research key; null until the gateway has issued one. */
  demoKey: demoKeySchema.nullable(),
})
export type Secrets = z.infer<typeof secretsSchema>

/** Reads the secrets, making them on first use. Throws a `UserError` when the file is damaged. */
export async function loadSecrets(home: string): Promise<Secrets> {
  const path = secretsPath(home)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new UserError(`${path} cannot be read (${error.code ?? error.message}).`)
  })
  if (text === undefined) {
    const secrets = await createSecrets()
    await saveSecrets(home, secrets)
    return secrets
  }
  try {
    const secrets = secretsSchema.parse(JSON.parse(text))
    await chmod(path, 0o600)
    return secrets
  } catch (error) {
    throw new UserError(`${path} is damaged. Delete it to have new secrets made; keys issued so far stay valid.`, { cause: error })
  }
}

export async function saveSecrets(home: string, secrets: Secrets): Promise<void> {
  await writePrivateFile(secretsPath(home), `${JSON.stringify(secrets, null, 2)}\n`)
}

/** Writes a file that only this user can read, whole or not at all. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
  const partial = `${path}.${process.pid}.partial`
  await writeFile(partial, text, { mode: 0o600 })
  await rename(partial, path)
}

function secretsPath(home: string): string {
  return join(home, 'secrets.json')
}

async function createSecrets(): Promise<Secrets> {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
  const kid = randomBytes(8).toString('hex')
  return secretsSchema.parse({
    adminToken: `pg-admin-${randomBytes(32).toString('base64url')}`,
    redisPassword: randomBytes(32).toString('hex'),
    grantKey: { ...(await exportJWK(privateKey)), kid },
    demoKey: null,
  })
}
