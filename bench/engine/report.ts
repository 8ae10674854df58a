/** From samples to a table for people and an object for machines. Ratios are taken pair by pair, within a round. */
import type { Quality } from './quality.ts'
import type { Sample, Task } from './rounds.ts'

export interface ContenderResult {
  readonly name: string
  /** The contender that this one is compared with; null for a peer itself, and where the peer is missing. */
  readonly peer: string | null
  readonly bitsPerWeight: number
  readonly bytesPerStep: number
  readonly peakBytes: number
  /** Null where nobody has compared it with float32. */
  readonly quality: Quality | null
  readonly warnings: readonly string[]
}

export interface Spread {
  readonly median: number
  readonly minimum: number
  readonly maximum: number
}

export interface Figure {
  readonly contender: string
  readonly title: string
  readonly values: readonly number[]
  readonly spread: Spread
  /** How many times as fast as the peer; above 1 is faster. */
  readonly ratio: Spread | null
}

/** What one task measured; under load that is a waiting time and a pause, in milliseconds, else tokens per second. */
export function figuresOf(contenders: readonly ContenderResult[], tasks: readonly Task[], samples: readonly Sample[]): Figure[] {
  return tasks.flatMap(({ title, measurement }) => {
    if (measurement.type !== 'under-load') return figures(title, ({ value }) => value, 'more')
    return [
      ...figures(`${title}: first token, ms`, ({ value }) => value, 'less'),
      ...figures(`${title}: longest pause, ms`, ({ longestGap }) => longestGap!, 'less'),
    ]

    function figures(name: string, read: (sample: Sample) => number, better: 'more' | 'less'): Figure[] {
      const valuesOf = (contender: string): number[] => samples.filter((sample) => sample.contender === contender && sample.title === title).map(read)
      return contenders.map(({ name: contender, peer }) => {
        const values = valuesOf(contender)
        const peers = peer === null ? null : valuesOf(peer)
        const ratios = peers && values.map((value, round) => (better === 'more' ? value / peers[round]! : peers[round]! / value))
        return { contender, title: name, values, spread: spreadOf(values), ratio: ratios && spreadOf(ratios) }
      })
    }
  })
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, minimum: sorted[0]!, maximum: sorted.at(-1)! }
}

/** Share of the memory's speed that decoding one sequence makes use of: weights only, the KV cache is not counted. */
export function readLimitShare(contender: ContenderResult, figures: readonly Figure[], bytesPerSecond: number): number | null {
  const single = figures.find(({ contender: name, title }) => name === contender.name && title === singleDecodeTitle)
  return single === undefined ? null : (single.spread.median * contender.bytesPerStep) / bytesPerSecond
}

export const singleDecodeTitle = 'decode 1'

/** A Markdown table with a column for each contender. */
export function formatTable(contenders: readonly ContenderResult[], figures: readonly Figure[], bytesPerSecond: number): string {
  const titles = [...new Set(figures.map(({ title }) => title))]
  const rows = [
    ['', ...contenders.map(({ name }) => name)],
    ...titles.map((title) => [
      title,
      ...contenders.map(({ name }) => formatFigure(figures.find((figure) => figure.contender === name && figure.title === title)!)),
    ]),
    ['% of the read limit, decode 1', ...contenders.map((each) => formatShare(readLimitShare(each, figures, bytesPerSecond)))],
    ['bits per weight', ...contenders.map(({ bitsPerWeight }) => bitsPerWeight.toFixed(2))],
    ...qualityRows(contenders),
    ['peak memory, GB', ...contenders.map(({ peakBytes }) => (peakBytes / 1e9).toFixed(2))],
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
  return [lines[0]!, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...lines.slice(1)].join('\n')
}

function qualityRows(contenders: readonly ContenderResult[]): string[][] {
  if (contenders.every(({ quality }) => quality === null)) return []
  return [
    ['KL divergence from fp32, nats', ...contenders.map(({ quality }) => quality?.klDivergence.toFixed(4) ?? '–')],
    ['same top token as fp32, %', ...contenders.map(({ quality }) => (quality === null ? '–' : (100 * quality.topAgreement).toFixed(1)))],
  ]
}

function formatFigure({ spread, ratio }: Figure): string {
  const value = `${short(spread.median)} (${short(spread.minimum)}–${short(spread.maximum)})`
  return ratio === null ? value : `${value} ${ratio.median.toFixed(2)}x (${ratio.minimum.toFixed(2)}–${ratio.maximum.toFixed(2)})`
}

function formatShare(share: number | null): string {
  return share === null ? '–' : (100 * share).toFixed(0)
}

function short(value: number): string {
  return value < 100 ? value.toFixed(1) : value.toFixed(0)
}
