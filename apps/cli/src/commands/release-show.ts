import type { ObjectChange } from '@arcus/gateway/diff.ts';
import { printChanges } from '../changes.ts';
import { ApiError, ask, path } from '../client.ts';
import { defineCommand, OK } from '../command.ts';
import type { Connection } from '../connection.ts';
import { versionOf } from '../versions.ts';

interface Release {
  version: number;
  state: string;
  created_at: string;
  author: string;
  message: string;
  restores: number | null;
  rollouts: { id: string; state: string; reason: string }[];
}

export const releaseShow = defineCommand({
  name: 'release show',
  summary: 'Show a release: who made it and why, how it was rolled out, and what it changed',
  args: ['TENANT', 'VERSION'],
  flags: {},
  remote: true,
  notes: 'With --json its whole config is shown, too; secrets sealed.',
  examples: ['arcus release show acme 41', 'arcus release show acme 41 --json'],
  async run({ args, out, connect }) {
    const [tenant, text] = args as [string, string];
    const api = connect();
    const where = path('tenants', tenant, 'releases', String(versionOf(text)));
    const release = (await ask(api, where)).body as Release;
    const changes = await changesOf(api, where);
    if (out.json) {
      out.data({ ...release, changes });
      return OK;
    }
    const { version, state, created_at, author, message, restores, rollouts } = release;
    const back = restores === null ? '' : `, with the config of release ${restores}`;
    out.say(
      `${tenant}: release ${version}, ${state}, made ${created_at.slice(0, 19).replace('T', ' ')} by ${author}${back}`,
    );
    if (message !== '') out.say(`  ${message.replaceAll('\n', '\n  ')}`);
    for (const { id, state: ended, reason } of rollouts)
      out.say(`  rollout ${id}, ${ended}${reason ? `: ${reason}` : ''}`);
    if (changes === null) out.say('  the release before is gone: what this one changed is not known any more');
    else printChanges(out, changes);
    return OK;
  },
});

/** What it changed; null when the release before is not kept any more. */
async function changesOf(api: Connection, where: string): Promise<ObjectChange[] | null> {
  try {
    return (await ask(api, `${where}/diff`)).body.changes;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
