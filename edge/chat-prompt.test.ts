import { expect, test } from 'vitest'
import { createAnswerTrimmer, renderChatPrompt } from './chat-prompt.ts'

test('one question takes the form that Phi-2 was trained on', () => {
  expect(renderChatPrompt([{ role: 'user', content: 'What is 2+2?' }])).toBe('Instruct: What is 2+2?\nOutput:')
})

test('system text stands first, earlier turns follow in order', () => {
  expect(
    renderChatPrompt([
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello.' },
      { role: 'system', content: 'Be brief.' },
      { role: 'developer', content: 'No jokes.' },
      { role: 'user', content: 'Why?' },
    ]),
  ).toBe('Be brief.\n\nNo jokes.\n\nInstruct: Hi\nOutput: Hello.\nInstruct: Why?\nOutput:')
})

test('system text alone is a prompt too', () => {
  expect(renderChatPrompt([{ role: 'system', content: 'Tell a story.' }])).toBe('Tell a story.\n\nOutput:')
})

test.each([
  [[' The', ' answer'], ['The', ' answer']],
  [['', '\n', ' a'], ['', '', ' a']],
  [['  two'], [' two']],
  [['None', ' here'], ['None', ' here']],
])('%j is shown as %j', (released, shown) => {
  const trim = createAnswerTrimmer()
  expect(released.map(trim)).toEqual(shown)
})
