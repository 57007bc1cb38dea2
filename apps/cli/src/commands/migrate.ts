import { CommandError, defineCommand, NO, OK } from '../command.ts';
import { embeddedDatabase } from '../paths.ts';

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'Bring the database to the newest schema; nothing when it is there already',
  args: [],
  flags: {
    database: { value: 'URL', description: 'mysql://… or file:…; default $ARCUS_DATABASE_URL, else the data folder' },
  },
  remote: false,
  notes: 'The API does this by itself when it starts. Safe to run from several machines at once, and again.',
  examples: ['arcus migrate', 'ARCUS_DATABASE_URL=mysql://arcus:secret@db/arcus arcus migrate --json'],
  async run({ values, env, out }) {
    const url = values.database ?? (env.ARCUS_DATABASE_URL || embeddedDatabase(env));
    // The database's clients are large: only who needs them pays.
    const { migrate: applyMigrations } = await import('@arcus/api/db/migrate.ts');
    let applied: string[];
    try {
      applied = await applyMigrations(url);
    } catch (error) {
      throw new CommandError(`the database cannot be migrated: ${(error as Error).message}`, { exitCode: NO });
    }
    if (out.json) out.data({ applied });
    else if (applied.length === 0) out.say('the database is up to date');
    else for (const name of applied) out.say(`applied ${name}`);
    return OK;
  },
});
