/** An error whose message is meant for the person at the terminal: what happened and what to do. No stack is printed. */
export class UserError extends Error {
  override readonly name = 'UserError'
}
