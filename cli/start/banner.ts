/** What a person sees when everything runs: where it is, the key, and a request that works when pasted. */
export function banner(values: { origin: string; key: string; model: string; home: string; seconds: number }): string {
  const { origin, key, model, home, seconds } = values
  const body = JSON.stringify({ model, stream: true, max_tokens: 64, temperature: 0, messages: [{ role: 'user', content: 'What is a token?' }] })
  const note =
    model === 'phi-mini'
      ? 'phi-mini is a tiny model of our own that shows the system at work. It is not Phi-2, and what it says is not to be trusted.'
      : undefined
  return [
    '',
    `Phigate is ready after ${seconds.toFixed(1)} s.`,
    '',
    `  API    ${origin}/v1`,
    `  key    ${key}`,
    `  model  ${model}`,
    `  files  ${home} (logs, keys, dev.json)`,
    ...(note === undefined ? [] : ['', note]),
    '',
    'Try it:',
    '',
    `curl -N ${origin}/v1/chat/completions \\`,
    `  -H 'authorization: Bearer ${key}' \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d '${body}'`,
    '',
    'Ctrl-C stops everything.',
    '',
  ].join('\n')
}
