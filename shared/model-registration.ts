/**
 * What a worker tells the rest of the system about a model that it has loaded. The edge lists models, binds grants and
 * checks licences by this and by nothing else, so a model that no worker serves does not exist.
 */
import * as z from 'zod'
import { modelIdSchema } from './job.ts'
import { licenceProfileIdSchema } from './licence-profiles.ts'

export const modelRegistrationSchema = z.object({
  id: modelIdSchema,
  /** `sha256:<hex>` over the checkpoint's weights as they were before compilation. */
  weightsDigest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  precision: z.enum(['fp32', 'fp16', 'int8', 'int4']),
  contextLength: z.int().positive(),
  vocabularySize: z.int().positive(),
  licence: licenceProfileIdSchema,
  /** Unix seconds, as OpenAI's `created`. */
  created: z.int(),
  ownedBy: z.string(),
  /** Unix time in milliseconds when the worker that wrote this started: the newest is listed first. */
  startedAt: z.int(),
})
export type ModelRegistration = z.infer<typeof modelRegistrationSchema>
