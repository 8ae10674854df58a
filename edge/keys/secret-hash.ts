/** Hashes of secrets: what is stored and compared in their place. */

/** SHA-256 of the UTF-8 text as 64 hexadecimal digits. A key has 256 random bits, so it needs neither salt nor stretching. */
export async function secretHash(secret: string): Promise<string> {
  return Array.from(await sha256(secret), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Whether two secrets are equal, in a time that depends on neither: their digests are compared without an early end. */
export async function secretsEqual(left: string, right: string): Promise<boolean> {
  const [leftDigest, rightDigest] = await Promise.all([sha256(left), sha256(right)])
  let difference = 0
  for (const [index, byte] of leftDigest.entries()) difference |= byte ^ (rightDigest[index] ?? 0)
  return difference === 0
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
}
