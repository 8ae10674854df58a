/**
 * The text of a research key: `pg-research-`, 43 base62 characters (256 random bits), and six base62 characters of
 * their CRC-32. The checksum tells a mistyped key from an unknown one without a look-up, and lets secret scanners
 * recognise a leaked key. It protects nothing: whoever can make a checksum still has to guess 256 bits.
 */
import { randomBase62 } from '../../shared/ids.ts'

const prefix = 'pg-research-'
const randomLength = 43
const checksumLength = 6
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const pattern = new RegExp(`^${prefix}[0-9A-Za-z]{${randomLength + checksumLength}}$`)

export function createResearchKey(): string {
  const body = prefix + randomBase62(randomLength)
  return body + checksum(body)
}

/** `not-a-key` has another shape altogether; `mistyped` has the shape of a key, but its checksum does not fit. */
export function inspectResearchKey(text: string): 'well-formed' | 'mistyped' | 'not-a-key' {
  if (!pattern.test(text)) return 'not-a-key'
  return checksum(text.slice(0, -checksumLength)) === text.slice(-checksumLength) ? 'well-formed' : 'mistyped'
}

function checksum(ascii: string): string {
  let rest = crc32(ascii)
  let text = ''
  for (let digit = 0; digit < checksumLength; digit++) {
    text = alphabet[rest % 62] + text
    rest = Math.floor(rest / 62)
  }
  return text
}

/** CRC-32 as in zlib and PNG (ISO 3309, reflected polynomial 0xEDB88320), bit by bit: the input is 55 characters. */
function crc32(ascii: string): number {
  let remainder = 0xffff_ffff
  for (let index = 0; index < ascii.length; index++) {
    remainder ^= ascii.charCodeAt(index)
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb8_8320 : 0)
  }
  return ~remainder >>> 0
}
