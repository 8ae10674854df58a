/**
 * `manifest.json` of a compiled model folder: all that the engine must know to run the graph beside it. A folder is
 * complete if and only if it holds a valid manifest, which the compiler writes last.
 *
 *     manifest.json   this
 *     model.onnx      the graph; inputs and outputs as below
 *     weights.bin     its tensors, as ONNX external data
 *     tokenizer.json  the checkpoint's own, byte for byte (tokenizer_config.json too where the checkpoint has one)
 *
 * Graph, with B sequences, S new tokens each, M = `contextLength`, L layers, H heads of size D, vocabulary V:
 *     in   input_ids i64 [B,S]   bs i64 [3] = [B,S,-1]   seqlens_k i32 [B] (total length - 1)   total_seq i32 scalar (the
 *          maximum)   logit_idx i64 [R] (row b*S + s of every position whose logits are wanted)
 *          past_k.<l>, past_v.<l>  <kvType> [B,H,M,D]
 *     out  logits f32 [R,V]   present_k.<l>, present_v.<l>  like past
 */
import { z } from 'zod'
import { modelIdSchema } from '../../shared/job.ts'
import { licenceProfileIdSchema } from '../../shared/licence-profiles.ts'

export const manifestFile = 'manifest.json'

export const manifestSchema = z.object({
  format: z.literal(1),
  modelId: modelIdSchema,
  ownedBy: z.string(),
  licence: licenceProfileIdSchema,
  /** Unix seconds. */
  created: z.int(),
  /** `sha256:<hex>` over names, dtypes, shapes and bytes of the checkpoint's tensors, in the order of their names. */
  weightsDigest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  precision: z.enum(['fp32', 'fp16', 'int8', 'int4']),
  kvType: z.enum(['float32', 'float16']),
  /** True when the present buffers may be the past buffers themselves; otherwise the engine swaps two sets. */
  kvInPlace: z.boolean(),
  layers: z.int().positive(),
  heads: z.int().positive(),
  headSize: z.int().positive(),
  vocabularySize: z.int().positive(),
  contextLength: z.int().positive(),
  /** Tokens that end a text, of generation_config.json or else config.json. */
  endTokens: z.array(z.int().nonnegative()),
  /** SHA-256 of model.onnx and weights.bin, so that `model verify` can find a damaged folder. */
  files: z.record(z.string(), z.object({ bytes: z.int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
})
export type Manifest = z.infer<typeof manifestSchema>
