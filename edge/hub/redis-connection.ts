/**
 * One connection to Redis that commands go through without anyone caring whether it is up. It opens when the first
 * command comes, and again after it broke; commands that were not written yet wait for that, commands whose reply was
 * cut off fail as `lost`. It never sends a command twice: whether that is safe, only the caller knows. It pipelines,
 * and all commands of one turn of the event loop leave in one write.
 */
import type { ByteConnection, Connect } from './byte-connection.ts'
import type { RedisAddress } from './redis-address.ts'
import { commandText, createRespDecoder, decodeText, encodeText, isErrorReply } from './resp.ts'
import type { Reply, RespLimits } from './resp.ts'

export type RedisFailure =
  /** Never written: Redis has not seen it. */
  | 'unsent'
  /** Written without a reply: it may or may not have run. */
  | 'lost'
  /** Its reply is over the limits. */
  | 'too-large'
  /** Redis answered with an error. */
  | 'refused'
  /** Not taken at all: the connection was closed, or too much waits already. Trying again at once is no use. */
  | 'not-accepted'

export class RedisError extends Error {
  override readonly name = 'RedisError'
  readonly failure: RedisFailure
  /** The first word of Redis's error when it was refused, such as WRONGTYPE. */
  readonly code: string

  constructor(failure: RedisFailure, message: string, code = '') {
    super(message)
    this.failure = failure
    this.code = code
  }
}

export interface RedisConnection {
  /**
   * Sends one command and resolves with its reply. Rejects with a `RedisError`, at the latest after `timeoutMs`
   * including all waiting; a reply that is overdue then means that the connection is dead, and it is given up.
   */
  command(args: readonly string[], timeoutMs: number): Promise<Reply>
  /** Fails everything under way, and all later commands as `not-accepted`. */
  close(): void
}

export interface RedisConnectionOptions {
  readonly connect: Connect
  readonly address: Pick<RedisAddress, 'username' | 'password' | 'database'>
  /** Shown by CLIENT LIST. No spaces. */
  readonly name: string
  /** Limit for opening a connection, greeting included. */
  readonly connectTimeoutMs: number
  readonly limits?: RespLimits
}

/** Commands that wait to be written may hold this many characters in all; more are refused at once. */
const maximumWaitingText = 32 * 1024 * 1024

const firstRetryMs = 20
const maximumRetryMs = 1_000

interface Command {
  readonly text: string
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: RedisError) => void
}

interface Session {
  readonly bytes: ByteConnection
  /** Written commands without a reply, oldest first. */
  readonly sent: Command[]
  /** The greeting was accepted: waiting commands may go. */
  ready: boolean
  flushing: boolean
}

export function createRedisConnection(options: RedisConnectionOptions): RedisConnection {
  let waiting: Command[] = []
  let waitingText = 0
  let session: Session | undefined
  let running = false
  let closed = false
  let failedAttempts = 0
  /** Why the latest attempt to connect failed; for error messages. */
  let trouble = 'no connection was opened in time'
  let cutDelayShort = (): void => {}

  const command: RedisConnection['command'] = (args, timeoutMs) =>
    new Promise<Reply>((resolve, reject) => {
      if (closed) return reject(new RedisError('not-accepted', 'The connection was closed.'))
      if (waitingText > maximumWaitingText) return reject(new RedisError('not-accepted', 'Too many commands wait for Redis.'))
      const timer = setTimeout(() => expire(entry), timeoutMs)
      const entry: Command = {
        text: commandText(args),
        resolve: (reply) => {
          clearTimeout(timer)
          if (isErrorReply(reply)) reject(refusal(reply))
          else resolve(reply)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      waiting.push(entry)
      waitingText += entry.text.length
      if (session?.ready === true) flushSoon(session)
      else if (!running) void run()
    })

  function expire(entry: Command): void {
    const index = waiting.indexOf(entry)
    if (index === -1) {
      // Everything behind it waits as well: replies come in order.
      session?.bytes.close()
      return entry.reject(new RedisError('lost', 'Redis did not answer in time.'))
    }
    waiting.splice(index, 1)
    waitingText -= entry.text.length
    entry.reject(new RedisError('unsent', `Redis could not be reached: ${trouble}.`))
  }

  /** Keeps a connection open for as long as commands need one. Only one runs at a time. */
  async function run(): Promise<void> {
    running = true
    while (waiting.length > 0) {
      await pause(failedAttempts)
      if (waiting.length > 0) await live()
    }
    running = false
  }

  /** Exponential with jitter: many gateways that lost the same Redis do not return in step. */
  async function pause(attempts: number): Promise<void> {
    if (attempts === 0) return
    const limit = Math.min(maximumRetryMs, firstRetryMs * 2 ** (attempts - 1))
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limit / 2 + (Math.random() * limit) / 2)
      cutDelayShort = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** One connection from opening to end. Never throws. */
  async function live(): Promise<void> {
    failedAttempts++
    const bytes = await open()
    if (bytes === undefined) return
    const current: Session = { bytes, sent: [], ready: false, flushing: false }
    session = current
    const timer = setTimeout(() => bytes.close(), options.connectTimeoutMs)
    void greet(current).then(
      () => {
        clearTimeout(timer)
        // It may have ended right after the greeting.
        if (session !== current) return
        current.ready = true
        flushSoon(current)
      },
      (error: unknown) => {
        trouble = error instanceof RedisError && error.failure === 'refused' ? `it answered ${error.code}` : 'it does not answer'
        bytes.close()
      },
    )
    const end = await readReplies(current)
    clearTimeout(timer)
    bytes.close()
    session = undefined
    current.ready = false
    const [oldest, ...others] = current.sent
    oldest?.reject(end === 'too-large' ? new RedisError(end, 'The reply is too large.') : new RedisError('lost', 'The connection to Redis broke.'))
    for (const entry of others) entry.reject(new RedisError('lost', 'The connection to Redis broke.'))
  }

  function open(): Promise<ByteConnection | undefined> {
    return new Promise((resolve) => {
      let late = false
      const timer = setTimeout(() => {
        late = true
        trouble = 'the connection was not opened in time'
        resolve(undefined)
      }, options.connectTimeoutMs)
      options.connect().then(
        (bytes) => {
          clearTimeout(timer)
          if (late || closed) bytes.close()
          resolve(late || closed ? undefined : bytes)
        },
        () => {
          clearTimeout(timer)
          if (!late) trouble = 'the connection failed'
          resolve(undefined)
        },
      )
    })
  }

  /**
   * Authenticates and selects the database. PING tells a server that is still loading its data, which refuses all real
   * commands, from one that is ready. The name is a convenience: a user without the right to set it may go on.
   */
  async function greet(current: Session): Promise<void> {
    const { username, password, database } = options.address
    const entries: Command[] = []
    const ask = (args: readonly string[]): Promise<Reply> =>
      new Promise((resolve, reject) => entries.push({ text: commandText(args), resolve, reject }))
    const answers: Promise<Reply>[] = []
    if (password !== undefined) answers.push(ask(username === undefined ? ['AUTH', password] : ['AUTH', username, password]))
    if (database !== 0) answers.push(ask(['SELECT', String(database)]))
    ask(['CLIENT', 'SETNAME', options.name]).catch(() => {})
    answers.push(ask(['PING']))
    current.sent.push(...entries)
    await write(current, entries.map((entry) => entry.text).join(''))
    const refused = (await Promise.all(answers)).find(isErrorReply)
    if (refused !== undefined) throw refusal(refused)
  }

  function flushSoon(current: Session): void {
    if (current.flushing) return
    current.flushing = true
    queueMicrotask(() => void flush(current))
  }

  async function flush(current: Session): Promise<void> {
    while (waiting.length > 0 && current.ready) {
      const leaving = waiting
      waiting = []
      waitingText = 0
      let text = ''
      for (const entry of leaving) {
        current.sent.push(entry)
        text += entry.text
      }
      await write(current, text)
    }
    current.flushing = false
  }

  async function write(current: Session, text: string): Promise<void> {
    try {
      await current.bytes.write(encodeText(text))
    } catch {
      // The reader sees the same end and settles all that was sent.
      current.bytes.close()
    }
  }

  /** Settles commands until the connection ends, and says how it did. */
  async function readReplies(current: Session): Promise<'ended' | 'too-large'> {
    const decoder = createRespDecoder(options.limits)
    try {
      for (let chunk = await current.bytes.read(); chunk !== undefined; chunk = await current.bytes.read()) {
        decoder.push(chunk)
        let decoded = decoder.next()
        for (; decoded.type === 'reply'; decoded = decoder.next()) {
          const entry = current.sent.shift()
          // A reply that nobody asked for: the two sides disagree on where they are.
          if (entry === undefined) return 'ended'
          // Only now: a server that accepts the greeting and hangs up each time must not be tried without a pause.
          if (current.ready) failedAttempts = 0
          entry.resolve(decoded.reply)
        }
        if (decoded.type !== 'incomplete') return decoded.type === 'too-large' ? 'too-large' : 'ended'
      }
    } catch {
      // Broken or closed by us: the same to everyone who waits.
    }
    return 'ended'
  }

  return {
    command,
    close() {
      closed = true
      cutDelayShort()
      for (const entry of waiting) entry.reject(new RedisError('not-accepted', 'The connection was closed.'))
      waiting = []
      waitingText = 0
      session?.bytes.close()
    },
  }
}

/** Redis's error codes are safe to show; its messages may quote arguments. */
function refusal({ bytes, tape }: Reply): RedisError {
  const code = decodeText(bytes, tape[1] as number, tape[2] as number).split(' ', 1)[0] ?? ''
  return new RedisError('refused', `Redis answered ${code}.`, code)
}
