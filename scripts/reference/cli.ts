/** Help of all commands. */
import { commands } from '@arcus/cli/commands.ts';
import { helpFor, overview } from '@arcus/cli/help.ts';

export function cliPage(): string {
  const pages = commands.flatMap((command) => [`## arcus ${command.name}`, '', '```text', helpFor(command), '```', '']);
  return [
    '# The command `arcus`',
    '',
    'Inside the project: `npx arcus …`. In the image: `node apps/cli/src/main.ts …`.',
    '',
    '```text',
    overview(commands),
    '```',
    '',
    ...pages,
  ].join('\n');
}
