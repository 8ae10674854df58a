/**
 * What a precision costs in quality, beside its speed: `model verify`'s comparison with the same weights in float32. On
 * random weights that is the noise of the quantisation and no more. The float32 model is four times as large as the
 * others, so it is made on request only; what was found is kept beside the compiled model.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { z } from 'zod'
import type { Progress } from '../../cli/progress.ts'
import { compareModels } from '../../gpu-worker/model/compare.ts'

const qualitySchema = z.object({ predictions: z.int(), klDivergence: z.number(), topAgreement: z.number() })
/** Mean divergence in nats, and the share of positions with the same most probable token. */
export type Quality = z.infer<typeof qualitySchema>

/** Any text will do for random weights, whose tokens are its bytes. */
const text = Array.from({ length: 24 }, (_, line) => `${line + 1} sheep went through the gate.`).join('\n').slice(0, 513)

/** What an earlier run found, or null. */
export async function readQuality(compiled: string): Promise<Quality | null> {
  const found = await readFile(`${compiled}.quality.json`, 'utf8').catch(() => null)
  return found === null ? null : qualitySchema.parse(JSON.parse(found))
}

export interface QualityOptions {
  readonly compiled: string
  /** The same weights compiled to fp32. */
  readonly reference: string
  readonly progress: Progress
}

/** Finds it out and keeps it. Throws `ModelError` as `compareModels`. */
export async function measureQuality({ compiled, reference, progress }: QualityOptions): Promise<void> {
  const { predictions, klDivergence, topAgreement } = await progress.step(`Comparing ${basename(compiled)} with fp32`, (detail) =>
    compareModels({ folder: compiled, against: reference, text, onTokens: (done, total) => detail(`${done} of ${total} tokens`) }),
  )
  const quality: Quality = { predictions, klDivergence: klDivergence.mean, topAgreement }
  await writeFile(`${compiled}.quality.json`, `${JSON.stringify(quality)}\n`)
}
