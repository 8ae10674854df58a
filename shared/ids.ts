/**
 * Random identifiers. Every id carries a prefix that says what it names, so that a log line or a support mail can be
 * read without knowing which field it came from. Ids are not secrets; keys are made elsewhere.
 */

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Returns `length` characters of [0-9A-Za-z], each uniform, from the platform's cryptographic generator. */
export function randomBase62(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length * 2))) {
      // 248 = 4 * 62: bytes above it would favour the first letters.
      if (byte < 248 && text.length < length) text += alphabet[byte % 62]
    }
  }
  return text
}

export type IdPrefix = 'job' | 'req' | 'key' | 'worker' | 'acceptance'

/** Returns `<prefix>_<24 base62 characters>` (143 random bits). */
export function createId(prefix: IdPrefix): string {
  return `${prefix}_${randomBase62(24)}`
}
