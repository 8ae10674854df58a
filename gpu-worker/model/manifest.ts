/**
 * `manifest.json` of a compiled model folder: all that the engine must know to run the graph beside it. A folder is
 * complete if and only if it holds a valid manifest, which the compiler writes last.
 *
 *     manifest.json   this
 *     model.onnx      the graph; inputs and outputs as below
 *     weights.bin     its tensors, as ONNX external data
 *     tokenizer.json  the checkpoint's own, byte for byte (tokenizer_config.json too where the checkpoint has one)
 *
 * Graph, with B sequences, S new tokens each, slots of M positions (at most `contextLength`), L layers, H heads of size D,
 * vocabulary V:
 *     in   input_ids i64 [B,S]   bs i64 [3] = [B,S,-1]   seqlens_k i32 [B] (total length - 1)   total_seq i32 scalar (the
 *          maximum)   logit_idx i64 [R] (row b*S + s of every position whose logits are wanted)
 *          past_k.<l>, past_v.<l>  <kvType> [B,H,M,D]
 *     out  logits f32 [R,V]   present_k.<l>, present_v.<l>  like past
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { modelIdSchema } from '../../shared/job.ts'
import { licenceProfileIdSchema } from '../../shared/licence-profiles.ts'
import { modelError } from './model-error.ts'
import { isMissing, parseJson, readSmallTextFile } from './read-json.ts'

export const manifestFile = 'manifest.json'
export const graphFile = 'model.onnx'
export const weightsFile = 'weights.bin'
export const tokenizerFile = 'tokenizer.json'
export const tokenizerConfigFile = 'tokenizer_config.json'

/** The version of the folder's layout and of the graph's inputs and outputs. */
const format = 1

export const manifestSchema = z.object({
  format: z.literal(format),
  modelId: modelIdSchema,
  ownedBy: z.string(),
  licence: licenceProfileIdSchema,
  /** Unix seconds. */
  created: z.int(),
  /** `sha256:<hex>` over names, dtypes, shapes and bytes of the checkpoint's tensors, in the order of their names. */
  weightsDigest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  precision: z.enum(['fp32', 'fp16', 'int8', 'int4']),
  /** Weights that share a scale; absent where there are no scales, or one per output channel. */
  blockSize: z.int().positive().optional(),
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
  /** SHA-256 of every other file of the folder, so that `model verify` can find a damaged one. */
  files: z.record(z.string(), z.object({ bytes: z.int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
})
export type Manifest = z.infer<typeof manifestSchema>

const fileName = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/

/**
 * Reads a compiled folder's manifest and checks that its files are there with the right sizes (their contents are
 * `verifyModel`'s business). Throws `ModelError`: `not-found` when it is not a compiled folder, `unsupported` when a
 * newer Phigate compiled it, `damaged` when it is not whole.
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, manifestFile)
  const text = await readSmallTextFile(path)
  if (text === undefined) throw await notCompiled(folder)
  const version = parseJson(text, path, z.looseObject({ format: z.number() })).format
  if (version !== format) {
    throw modelError(
      'unsupported',
      `${folder} was compiled in format ${version}, and this version of Phigate reads format ${format}. Compile the checkpoint again.`,
    )
  }
  const manifest = parseJson(text, path, manifestSchema)
  for (const name of [graphFile, weightsFile, tokenizerFile]) {
    if (manifest.files[name] === undefined) throw modelError('damaged', `${path} does not list ${name}.`)
  }
  for (const [name, { bytes }] of Object.entries(manifest.files)) {
    if (!fileName.test(name)) throw modelError('damaged', `${path} lists ${JSON.stringify(name)}, which is not a file name.`)
    const found = await stat(join(folder, name)).catch((error: unknown) => {
      if (isMissing(error)) throw modelError('damaged', `${folder} is damaged: ${name} is missing. Compile the checkpoint again.`)
      throw error
    })
    if (!found.isFile() || found.size !== bytes) {
      throw modelError('damaged', `${folder} is damaged: ${name} has ${found.size} bytes instead of ${bytes}. Compile the checkpoint again.`)
    }
  }
  return manifest
}

async function notCompiled(folder: string): Promise<Error> {
  const has = async (path: string): Promise<boolean> => stat(path).then(() => true, () => false)
  if (!(await has(folder))) return modelError('not-found', `There is no folder ${folder}.`)
  const hint = (await has(join(folder, 'config.json')))
    ? ` It looks like a Hugging Face checkpoint: compile it with "npm run phigate -- model compile ${folder} --precision fp32 --out <dir>".`
    : ''
  return modelError('not-found', `${folder} is not a compiled model: it has no ${manifestFile}.${hint}`)
}
