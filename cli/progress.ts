/**
 * Progress of a command's steps on standard error: on a terminal a line that is redrawn with the seconds, in a log a
 * line at the start, a sign of life every five seconds and a line at the end.
 */
export interface Progress {
  /** Runs `work` as a step; `work` may report what it is at. Prints the time, or that it failed, and passes errors on. */
  step<Result>(title: string, work: (detail: (text: string) => void) => Promise<Result>): Promise<Result>
}

export function createProgress(output: NodeJS.WriteStream = process.stderr): Progress {
  const terminal = output.isTTY === true
  return {
    async step(title, work) {
      const started = performance.now()
      const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`
      let detail = ''
      const draw = (mark: string, tail: string): void => {
        const line = `${mark} ${title}${detail === '' ? '' : `: ${detail}`}${tail}`
        output.write(terminal ? `\r\u001B[2K${line.slice(0, (output.columns ?? 80) - 1)}` : `${line}\n`)
      }
      const ticker = setInterval(() => draw('…', ` (${seconds()})`), terminal ? 200 : 5000)
      try {
        const result = await work((text) => {
          detail = text
        })
        draw('✓', ` (${seconds()})`)
        return result
      } catch (error) {
        draw('✗', ` (${seconds()})`)
        throw error
      } finally {
        clearInterval(ticker)
        if (terminal) output.write('\n')
      }
    },
  }
}
