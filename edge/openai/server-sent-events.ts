/**
 * Server-sent events as OpenAI's SDKs read them: `data:` lines with JSON, `[DONE]` at the end, comments to keep the
 * connection open. Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // Asks nginx in front of the gateway not to collect the stream before passing it on.
  'x-accel-buffering': 'no',
} as const

/** JSON holds no raw line break, so one `data:` line is enough. `id` lets a client name what it has seen. */
export function dataMessage(value: object, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(value)}\n\n`
}

export const doneMessage = 'data: [DONE]\n\n'

/** A line that clients skip. */
export function commentMessage(text: string): string {
  return `: ${text}\n\n`
}
