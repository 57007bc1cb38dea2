import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './root.mjs';
import { quietly } from './spawn.mjs';

const PNPM = 'pnpm@12.21.0';
const NEEDED = 24;

/** Hash of the files that decide what a step makes; a change of any of them runs it again. */
function fingerprint(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash.update(existsSync(join(root, file)) ? readFileSync(join(root, file)) : '-').update('\0');
  return hash.digest('hex');
}

/** Runs `step` unless the stamp in node_modules says that it was done for the same input. */
function once(name, input, made, step) {
  const stamp = join(root, 'node_modules', `.arcus-${name}`);
  const done = existsSync(stamp) && readFileSync(stamp, 'utf8') === input;
  if (done && made.every((path) => existsSync(join(root, path)))) return;
  step();
  writeFileSync(stamp, input);
}

/** Installs what pnpm-lock.yaml names if node_modules is missing or older. */
export function ensureDependencies() {
  const input = fingerprint(['pnpm-lock.yaml', 'pnpm-workspace.yaml']);
  once('installed', input, ['node_modules/.modules.yaml'], () => {
    process.stderr.write('Installing dependencies …\n');
    // CI: never ask. NODE_ENV=production would leave out the tools that check and generate need.
    const { NODE_ENV: _, ...env } = { ...process.env, CI: '1' };
    quietly('npx', ['-y', PNPM, 'install', '--frozen-lockfile'], { cwd: root, env, what: 'install the dependencies' });
  });
}

/** Path of a Node that strips types: this one if it is new enough, else the one that came with the dependencies. */
export function node24() {
  if (Number(process.versions.node.split('.')[0]) >= NEEDED) return process.execPath;
  const own = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(own)) return own;
  throw new Error(
    `Arcus needs Node ${NEEDED} or later. This is ${process.version}, and none comes along for ` +
      `${process.platform}-${process.arch}: install it from https://nodejs.org/ and try again.`,
  );
}

/** Generates the Prisma clients if they are missing or older than the schema. */
export async function ensureDatabaseClients() {
  const { generateDb } = await import('../generate-db.mjs');
  generateDb();
}
