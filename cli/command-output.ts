/** Prints a command's result: JSON for machines, or aligned columns for people. */
export function printTable(rows: readonly Readonly<Record<string, string>>[], json: boolean, value: unknown = rows): void {
  if (json) return void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
  const columns = Object.keys(rows[0] ?? {})
  if (columns.length === 0) return void process.stdout.write('(none)\n')
  const widths = columns.map((column) => Math.max(column.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string => cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ').trimEnd()
  process.stdout.write(`${line(columns)}\n`)
  for (const row of rows) process.stdout.write(`${line(columns.map((column) => row[column] ?? ''))}\n`)
}
