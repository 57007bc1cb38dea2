/** What zod says of a variable, in the words of who sets one: a text, of which a number or a choice is made. */
export const wording = (message: string): string =>
  message
    .replace(/^Invalid input: expected (?:number|int), received .*$/, 'must be a number')
    .replace(
      /^Invalid option: expected one of (.*)$/,
      (_, list: string) => `must be one of ${list.replaceAll('|', ', ')}`,
    )
    .replace(/^Too small: expected \w+ to be >=(.*)$/, 'must be at least $1')
    .replace(/^Too big: expected \w+ to be <=(.*)$/, 'must be at most $1');
