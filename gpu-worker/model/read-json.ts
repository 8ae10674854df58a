/** Reads the small JSON files of a checkpoint or a compiled folder: size-capped, schema-checked, errors that name the file. */
import { readFile, stat } from 'node:fs/promises'
import { z } from 'zod'
import { modelError } from './model-error.ts'

/** phi-2's tokenizer.json is 2 MB; nothing that we read as JSON comes near this. */
const maximumJsonBytes = 64 * 1024 * 1024

/** Returns undefined when there is no such file. Throws `ModelError`: `damaged` for bad JSON, `unsupported` for a bad schema. */
export async function readJsonFile<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.infer<Schema> | undefined> {
  const text = await readSmallTextFile(path)
  return text === undefined ? undefined : parseJson(text, path, schema)
}

/** Returns undefined when there is no such file. */
export async function readSmallTextFile(path: string): Promise<string | undefined> {
  const found = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  if (found === undefined) return undefined
  if (!found.isFile()) throw modelError('damaged', `${path} is not a regular file.`)
  if (found.size > maximumJsonBytes) throw modelError('damaged', `${path} is ${found.size} bytes long, which is too much for this kind of file.`)
  return readFile(path, 'utf8')
}

export function parseJson<Schema extends z.ZodType>(text: string, path: string, schema: Schema): z.infer<Schema> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw modelError('damaged', `${path} is not valid JSON.`, { cause: error })
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw modelError('unsupported', `${path} can not be used: ${describeIssues(parsed.error)}.`, { cause: parsed.error })
  return parsed.data
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}

function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`))
    .join('; ')
}
