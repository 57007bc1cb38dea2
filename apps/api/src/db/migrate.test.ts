import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type MariaDbServer, startMariaDb } from '@arcus/testkit/mariadb.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { migrate, readMigrations } from './migrate.ts';
import { openDb } from './open.ts';

const migrations = fileURLToPath(new URL('../../../../prisma/migrations', import.meta.url));

let maria: MariaDbServer;
let count = 0;
const dir = tempDir('migrate');
before(async () => {
  maria = await startMariaDb();
});
after(async () => {
  await maria.close();
  dir.close();
});

const databases = {
  sqlite: () => `file:${dir.path}/${++count}.db`,
  mysql: () => maria.urlOf(`migrate_${++count}`),
};

for (const [kind, fresh] of Object.entries(databases)) {
  describe(kind, () => {
    test('a new database gets all migrations, once, also from several processes at the same time', async () => {
      const url = fresh();
      const applied = await Promise.all([migrate(url), migrate(url), migrate(url)]);
      const all = readMigrations(`${migrations}/${kind}`).map((migration) => migration.name);
      assert.deepEqual(applied.flat().sort(), all, JSON.stringify(applied));
      assert.deepEqual(await migrate(url), []);
      const db = await openDb(url);
      assert.deepEqual(await db.client.tenant.findMany(), []);
      await db.close();
    });

    test('the migrations make the tables that schema.prisma describes', async () => {
      const own = `${dir.path}/m${++count}`;
      mkdirSync(`${own}/${kind}/1_schema`, { recursive: true });
      cpSync(
        fileURLToPath(new URL(`./generated/${kind}.sql`, import.meta.url)),
        `${own}/${kind}/1_schema/migration.sql`,
      );
      const [migrated, described] = [fresh(), fresh()];
      await migrate(migrated);
      await migrate(described, own);
      assert.deepEqual(await columns(migrated), await columns(described));
    });

    test('releases of before history was kept own their blobs afterwards', async () => {
      const own = `${dir.path}/m${++count}`;
      const [first] = readMigrations(`${migrations}/${kind}`);
      cpSync(`${migrations}/${kind}/${first!.name}`, `${own}/${kind}/${first!.name}`, { recursive: true });
      const url = fresh();
      await migrate(url, own);
      const db = await openDb(url);
      const at = new Date().toISOString().slice(0, 19).replace('T', ' ');
      await db.client.$executeRawUnsafe(
        `INSERT INTO tenants VALUES ('acme', 'x', 'active', '{}', '{}', 1, 1, 1, 1, '${at}', '${at}')`,
      );
      const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
      const manifest = JSON.stringify({ sections: [{ blobs: [a, b] }, { blobs: [] }, { blobs: [a] }] });
      await db.client.$executeRawUnsafe(
        `INSERT INTO releases VALUES ('acme', 1, 'published', '${a}', '${manifest}', 'me', '', 1, '${at}', NULL)`,
      );
      await migrate(url);
      const owners = await db.client.blobOwner.findMany({ orderBy: { sha256: 'asc' } });
      await db.close();
      assert.deepEqual(owners, [
        { sha256: a, tenant_id: 'acme' },
        { sha256: b, tenant_id: 'acme' },
      ]);
    });

    test('a later migration is applied alone, and one that was edited afterwards is refused', async () => {
      const own = `${dir.path}/m${++count}`;
      cpSync(migrations, own, { recursive: true });
      const url = fresh();
      await migrate(url, own);
      mkdirSync(`${own}/${kind}/20300101000000_more`);
      writeFileSync(
        `${own}/${kind}/20300101000000_more/migration.sql`,
        'CREATE TABLE more (id INTEGER); INSERT INTO more VALUES (1);',
      );
      assert.deepEqual(await migrate(url, own), ['20300101000000_more']);
      appendFileSync(`${own}/${kind}/20300101000000_more/migration.sql`, '-- edited');
      await assert.rejects(migrate(url, own), /edited after it ran/);
    });

    test('a migration that fails says so, and stands in the way until somebody looked', async () => {
      const own = `${dir.path}/m${++count}`;
      cpSync(migrations, own, { recursive: true });
      mkdirSync(`${own}/${kind}/20300101000000_bad`);
      writeFileSync(
        `${own}/${kind}/20300101000000_bad/migration.sql`,
        'CREATE TABLE good (id INTEGER); CREATE TABEL bad;',
      );
      const url = fresh();
      await assert.rejects(migrate(url, own), /syntax/i);
      await assert.rejects(migrate(url, own), kind === 'mysql' ? /stopped half-way/ : /syntax/i);
      const db = await openDb(url);
      const good = db.client.$queryRawUnsafe('SELECT * FROM good');
      if (kind === 'sqlite') await assert.rejects(good, /no such table/, 'SQLite takes all of a migration or nothing');
      else assert.deepEqual(await good, []);
      await db.close();
    });
  });
}

async function columns(url: string): Promise<unknown> {
  const db = await openDb(url);
  const sql =
    db.kind === 'mysql'
      ? `SELECT table_name t, column_name c, column_type d, is_nullable n, column_default v, collation_name l, column_key k
           FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1, 2`
      : `SELECT m.name t, c.name c, c.type d, c."notnull" n, c.dflt_value v, c.pk k
           FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type IN ('table', 'index') ORDER BY 1, 2`;
  const rows = await db.client.$queryRawUnsafe<unknown[]>(sql);
  await db.close();
  assert.ok(rows.length > 50);
  return JSON.parse(JSON.stringify(rows, (_, v) => (typeof v === 'bigint' ? String(v) : v)));
}
