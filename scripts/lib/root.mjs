import { fileURLToPath } from 'node:url';

/** Absolute path of the project, whatever the current directory is. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '');
