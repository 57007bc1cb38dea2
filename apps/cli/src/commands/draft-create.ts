import { ask, path } from '../client.ts';
import { defineCommand, OK } from '../command.ts';

export const draftCreate = defineCommand({
  name: 'draft create',
  summary: "Make a draft of a tenant's config: changes in it are not live before it is applied",
  args: ['TENANT', 'DRAFT'],
  flags: { message: { value: 'TEXT', short: 'm', description: 'What it is for; the message of its release' } },
  remote: true,
  examples: ['arcus draft create acme friday -m "block casinos"'],
  async run({ args, values, out, connect }) {
    const [tenant, name] = args as [string, string];
    const { message } = values;
    const body = JSON.stringify({ name, ...(message === undefined ? {} : { message }) });
    const answer = await ask(connect(), path('tenants', tenant, 'drafts'), { method: 'POST', body });
    if (out.json) out.data(answer.body);
    else out.say(`${tenant}: draft ${name} of release ${answer.body.base_version}`);
    return OK;
  },
});
