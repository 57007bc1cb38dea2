import { ask } from '../client.ts';
import { defineCommand, OK } from '../command.ts';
import { draftPath } from '../remote-config.ts';

export const draftRebase = defineCommand({
  name: 'draft rebase',
  summary: 'Bring a draft up to what is live now, and settle its conflicts',
  args: ['TENANT', 'DRAFT'],
  flags: {
    prefer: { value: 'draft|live', description: 'Whose object stays where both changed it; refused without it' },
  },
  remote: true,
  notes: 'Exit code: 0 done, 1 there are conflicts (each is shown, nothing was changed), 2 trouble.',
  examples: ['arcus draft rebase acme friday', 'arcus draft rebase acme friday --prefer draft'],
  async run({ args, values, out, connect }) {
    const [tenant, draft] = args as [string, string];
    const request = { method: 'POST', body: JSON.stringify({ prefer: values.prefer }) };
    const { body } = await ask(connect(), draftPath(tenant, draft, 'rebase'), request);
    if (out.json) out.data(body);
    else {
      const changes = body.changes === 1 ? '1 change' : `${body.changes} changes`;
      out.say(`${tenant}: draft ${draft} is one of release ${body.base_version}, with ${changes}`);
    }
    return OK;
  },
});
