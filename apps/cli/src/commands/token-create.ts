import type { NewToken } from '@arcus/api/features/tokens/store.ts';
import { roles } from '@arcus/api/plugins/auth.ts';
import { ask } from '../client.ts';
import { CommandError, defineCommand, NO, OK, UsageError } from '../command.ts';
import { embeddedDatabase } from '../paths.ts';

const flags = {
  role: { value: roles.join('|'), description: 'admin: everything; tenant: one tenant; viewer: reads; default admin' },
  tenant: { value: 'TENANT', description: 'The tenant of a tenant token; for viewer: reads only this one' },
  name: { value: 'NAME', description: 'Who or what will use it; default: the role' },
  expires: { value: 'DAYS', description: 'Days that it is valid; default: until it is revoked' },
  local: { description: 'Write it straight into $ARCUS_DATABASE_URL: for the first token of an installation' },
} as const;

export const tokenCreate = defineCommand({
  name: 'token create',
  summary: 'Make a token for the management API and print it, this once',
  args: [],
  flags,
  remote: true,
  notes: 'With --local no API is asked: it needs the database (ARCUS_DATABASE_URL, else the data folder).',
  examples: [
    'arcus token create',
    'arcus token create --role tenant --tenant acme --name "acme CI" --expires 90',
    'ARCUS_DATABASE_URL=mysql://arcus:secret@db/arcus arcus token create --local',
  ],
  async run({ values, env, out, connect }) {
    const role = roles.find((r) => r === (values.role ?? 'admin'));
    if (role === undefined) throw new UsageError(`--role: "${values.role}" is none of ${roles.join(', ')}`);
    if (role === 'tenant' && values.tenant === undefined) throw new UsageError('--tenant: a tenant token needs it');
    if (role === 'admin' && values.tenant !== undefined)
      throw new UsageError('--tenant: an admin belongs to no tenant');
    const expires_at = values.expires === undefined ? null : inDays(values.expires);
    const wanted = { name: values.name ?? role, role, tenant_id: values.tenant ?? null, expires_at };
    const body = values.local
      ? await create(env.ARCUS_DATABASE_URL || embeddedDatabase(env), { ...wanted, created_by: 'arcus token create' })
      : (await ask(connect(), '/tokens', { method: 'POST', body: JSON.stringify(wanted) })).body;
    if (out.json) out.data(body);
    else out.say(body.token);
    return OK;
  },
});

function inDays(text: string): Date {
  const days = Number(text);
  if (!/^\d{1,5}$/.test(text) || days < 1) throw new UsageError(`--expires: "${text}" is not a number of days`);
  return new Date(Date.now() + days * 86_400_000);
}

async function create(url: string, wanted: NewToken): Promise<{ token: string; [field: string]: unknown }> {
  // The database's clients are large: only who needs them pays.
  const { isPrismaError, openDb } = await import('@arcus/api/db/open.ts');
  const { createToken } = await import('@arcus/api/features/tokens/store.ts');
  const db = await openDb(url);
  try {
    const { token, row } = await createToken(db, wanted);
    const { hash: _, ...shown } = row;
    return { ...shown, token };
  } catch (error) {
    if (!isPrismaError(error, 'P2003')) throw error;
    throw new CommandError(`there is no tenant ${wanted.tenant_id}`, { exitCode: NO });
  } finally {
    await db.close();
  }
}
