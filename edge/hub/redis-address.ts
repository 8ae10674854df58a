/** What a Redis URL says (https://www.iana.org/assignments/uri-schemes/prov/redis): where to connect and as whom. */
import { apiError } from '../../shared/errors.ts'

export interface RedisAddress {
  readonly hostname: string
  readonly port: number
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: number
}

/**
 * Parses `redis[s]://[user[:password]@]host[:port][/database]`. Throws `gateway_misconfigured` with a message that
 * shows nothing of the URL, for it may hold a password.
 */
export function parseRedisAddress(url: string): RedisAddress {
  const refused = apiError('gateway_misconfigured', 'REDIS_URL must look like redis://user:password@host:6379/0, or rediss:// for TLS.')
  if (!URL.canParse(url)) throw refused
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  const database = /^\/?(\d{0,5})$/.exec(pathname)?.[1]
  if ((protocol !== 'redis:' && protocol !== 'rediss:') || hostname === '' || database === undefined) throw refused
  try {
    return {
      // IPv6 addresses stand in brackets in a URL and nowhere else.
      hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: port === '' ? 6379 : Number(port),
      tls: protocol === 'rediss:',
      username: username === '' ? undefined : decodeURIComponent(username),
      password: password === '' ? undefined : decodeURIComponent(password),
      database: Number(database),
    }
  } catch {
    throw refused
  }
}
