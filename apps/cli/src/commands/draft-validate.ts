import { ask } from '../client.ts';
import { defineCommand, OK } from '../command.ts';
import { draftPath } from '../remote-config.ts';

export const draftValidate = defineCommand({
  name: 'draft validate',
  summary: 'Say all that applying a draft would be refused for; nothing is stored',
  args: ['TENANT', 'DRAFT'],
  flags: {},
  remote: true,
  notes: 'Exit code: 0 it could be applied, 1 it has faults or conflicts (each is shown), 2 trouble.',
  examples: ['arcus draft validate acme friday'],
  async run({ args, out, connect }) {
    const [tenant, draft] = args as [string, string];
    const { body } = await ask(connect(), draftPath(tenant, draft, 'validate'), { method: 'POST', body: '{}' });
    if (out.json) out.data(body);
    else {
      out.say(
        `${tenant}: draft ${draft} is valid, ${body.changed ? 'and would be a new release' : 'and changes nothing'}`,
      );
      if (body.waits_for !== null) out.say(`but it has to wait: ${body.waits_for}`);
    }
    return OK;
  },
});
