/**
 * From a failed zod check to OpenAI's error: the first issue decides, `param` is a path such as `messages[0].content`.
 * A message never repeats a value that the client sent, only the names of fields.
 */
import type { z } from 'zod'
import { apiError } from '../../shared/errors.ts'
import type { ApiError } from '../../shared/errors.ts'

const longestNameShown = 64

/** The checked value; throws `missing_parameter`, `unknown_parameter`, `unsupported_parameter` or `invalid_parameter`. */
export function parseParameters<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw issue === undefined ? apiError('invalid_parameter', 'The request is not valid.') : issueError(issue, body)
}

/** Marks a zod issue as "known to OpenAI, not offered here", which tells the client more than "invalid". */
export function unsupportedIssue(message: string): { code: 'custom'; message: string; params: { unsupported: true } } {
  return { code: 'custom', message, params: { unsupported: true } }
}

function issueError(issue: z.core.$ZodIssue, body: unknown): ApiError {
  const param = parameterPath(issue.path)
  if (issue.code === 'unrecognized_keys') {
    const [name = ''] = issue.keys
    const path = parameterPath([...issue.path, name])
    return apiError('unknown_parameter', `Unrecognized request argument supplied: ${path}`, { param: path })
  }
  if (param === '') return apiError('invalid_parameter', 'The request body must be a JSON object.')
  if (issue.code === 'custom' && issue.params?.unsupported === true) return apiError('unsupported_parameter', issue.message, { param })
  if (valueAt(body, issue.path) === undefined) return apiError('missing_parameter', `Missing required parameter: '${param}'.`, { param })
  return apiError('invalid_parameter', `Invalid value for '${param}': ${issue.message.replace(/^Invalid input: /, '')}.`, { param })
}

function parameterPath(path: readonly PropertyKey[]): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else text += (text === '' ? '' : '.') + String(part).slice(0, longestNameShown)
  }
  return text
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return value
    value = (value as Record<PropertyKey, unknown>)[part]
  }
  return value
}
