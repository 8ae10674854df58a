/**
 * Chat over a base model. Phi-2 has no chat template; its model card names the QA form "Instruct: …\nOutput:", which
 * its training data used. System text stands first, earlier turns follow in the same form. This is a convention and no
 * boundary: a user's text can contain "Output:" itself, and a base model can not tell the difference.
 *
 * Source: https://huggingface.co/microsoft/phi-2, section "QA Format".
 */

export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant'
  readonly content: string
}

/** Where a base model begins to invent the user's next turn, which it does rather than stop. */
export const chatStopSequences = ['\nInstruct:'] as const

/** The prompt for the assistant's next turn; it ends in "Output:", without the space that begins the answer's first token. */
export function renderChatPrompt(messages: readonly ChatMessage[]): string {
  const system = messages.filter(isSystem).map((message) => message.content)
  const turns = messages
    .filter((message) => !isSystem(message))
    .map((message) => `${message.role === 'user' ? 'Instruct' : 'Output'}: ${message.content}\n`)
  return `${system.map((text) => `${text}\n\n`).join('')}${turns.join('')}Output:`
}

function isSystem({ role }: ChatMessage): boolean {
  return role === 'system' || role === 'developer'
}

/**
 * Returns the function that each released text of one answer passes through, in order. It takes off the one space or
 * line break that separates "Output:" from the answer: it belongs to the prompt's form, not to what was said.
 */
export function createAnswerTrimmer(): (text: string) => string {
  let started = false
  return (text) => {
    if (started || text === '') return text
    started = true
    return text.startsWith(' ') || text.startsWith('\n') ? text.slice(1) : text
  }
}
