/** The generated pages of docs/reference: path below it -> text. Everything comes from the code itself. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { kinds } from '@arcus/gateway/config.ts';
import { families, type Kind } from '@arcus/gateway/kind.ts';
import { cliPage } from './cli.ts';
import { environmentPage } from './environment.ts';
import { errorsPage } from './errors.ts';
import { familyTitle, kindPage } from './kinds.ts';

export function referencePages(): Map<string, string> {
  const pages = new Map<string, string>();
  for (const family of families) {
    for (const kind of kinds[family] as readonly Kind[]) pages.set(`${family}/${kind.type}.md`, kindPage(kind));
  }
  pages.set('cli.md', cliPage());
  pages.set('environment.md', environmentPage());
  pages.set('errors.md', errorsPage());
  pages.set('README.md', index());
  return pages;
}

/** Pages that are missing, different or too many on disk. */
export function staleReference(folder: string): string[] {
  const pages = referencePages();
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  const wrong = [...pages].filter(
    ([path, text]) => !files.includes(path) || readFileSync(join(folder, path), 'utf8') !== text,
  );
  return [...wrong.map(([path]) => path), ...files.filter((file) => !pages.has(file))];
}

function index(): string {
  const lists = families.flatMap((family) => [
    `## ${familyTitle(family)}`,
    '',
    ...(kinds[family] as readonly Kind[]).map((k) => `- [\`${k.type}\`](${family}/${k.type}.md): ${k.description}.`),
    '',
  ]);
  return [
    '# Reference',
    '',
    'Made by `npm run gen` from the code; a test compares.',
    '',
    '- [The command `arcus`](cli.md)',
    '- [Environment variables](environment.md)',
    '- [Errors](errors.md)',
    '- The management API describes itself: `/docs` and `/openapi.json` of a running one',
    '',
    'A config is one document of six lists. These are the kinds of objects in them.',
    '',
    ...lists,
  ].join('\n');
}
