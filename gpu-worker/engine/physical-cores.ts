/** How many threads the forward pass should have: two on one core compete for the same arithmetic units. */
import { readFile, readdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const linuxTopology = '/sys/devices/system/cpu'

/** Physical cores, or all that this process may use where the system does not tell or allows fewer. */
export async function physicalCores(): Promise<number> {
  const usable = availableParallelism()
  try {
    const names = (await readdir(linuxTopology)).filter((name) => /^cpu\d+$/.test(name))
    // Hyperthreads of one core list the same siblings.
    const siblings = await Promise.all(names.map((name) => readFile(join(linuxTopology, name, 'topology', 'thread_siblings_list'), 'utf8')))
    return Math.max(1, Math.min(new Set(siblings).size, usable))
  } catch {
    return usable
  }
}
