/** Reads a response as server-sent events (WHATWG HTML, 9.2): the `data` of each message, in order. */
export async function* readServerSentEvents(response: Response): AsyncGenerator<string> {
  if (response.body === null) throw new Error('The response has no body.')
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = text
        .slice(0, end)
        .split('\n')
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5).replace(/^ /, ''))
      text = text.slice(end + 2)
      if (data.length > 0) yield data.join('\n')
    }
  }
}
