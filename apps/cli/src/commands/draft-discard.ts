import { ask } from '../client.ts';
import { defineCommand, OK } from '../command.ts';
import { draftPath } from '../remote-config.ts';

export const draftDiscard = defineCommand({
  name: 'draft discard',
  summary: 'Throw a draft away',
  args: ['TENANT', 'DRAFT'],
  flags: {},
  remote: true,
  examples: ['arcus draft discard acme friday'],
  async run({ args, out, connect }) {
    const [tenant, draft] = args as [string, string];
    await ask(connect(), draftPath(tenant, draft), { method: 'DELETE', headers: { 'if-match': '*' } });
    if (out.json) out.data({ tenant_id: tenant, draft, discarded: true });
    else out.say(`${tenant}: draft ${draft} is gone`);
    return OK;
  },
});
