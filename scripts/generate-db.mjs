// Makes the database clients of apps/api from prisma/schema.prisma, for MySQL and for SQLite. Does nothing when they
// are fresh; runs on Node 20 and later; needs no network.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'apps/api/src/db/generated');
const stampFile = join(out, 'stamp');

/** Generates both clients when the schema, this script or Prisma changed. Answers whether it did. */
export function generateDb({ force = false } = {}) {
  const require = createRequire(join(root, 'package.json'));
  const prisma = require.resolve('prisma/package.json');
  const schema = readFileSync(join(root, 'prisma/schema.prisma'), 'utf8');
  const hash = createHash('sha256');
  for (const part of [
    schema,
    JSON.parse(readFileSync(prisma, 'utf8')).version,
    readFileSync(join(root, 'prisma/ddl.mjs')),
    readFileSync(fileURLToPath(import.meta.url)),
  ]) {
    hash.update(part).update('\0');
  }
  const stamp = hash.digest('hex');
  if (!force && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return false;

  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const derived = join(out, 'sqlite.prisma');
  writeFileSync(derived, sqliteSchema(schema));
  const cli = join(dirname(prisma), JSON.parse(readFileSync(prisma, 'utf8')).bin.prisma);
  for (const file of [join(root, 'prisma/schema.prisma'), derived]) {
    const run = spawnSync(process.execPath, [cli, 'generate', '--schema', file], {
      cwd: root,
      encoding: 'utf8',
      env: {
        ...process.env,
        PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
        PRISMA_HIDE_UPDATE_MESSAGE: '1',
        CHECKPOINT_DISABLE: '1',
      },
    });
    if (run.status !== 0) throw new Error(`prisma generate failed for ${file}:\n${run.stdout}${run.stderr}`);
  }
  writeFileSync(stampFile, stamp);
  return true;
}

/** The same models for SQLite: native types mean nothing there. */
function sqliteSchema(schema) {
  return schema
    .replaceAll(/\s+@db\.\w+(\([^)]*\))?/g, '')
    .replace('provider = "mysql"', 'provider = "sqlite"')
    .replaceAll('../apps/api/src/db/generated/mysql', './sqlite');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const made = generateDb({ force: process.argv.includes('--force') });
  process.stdout.write(made ? 'database clients generated\n' : 'database clients are fresh\n');
}
