import { defineCommand, OK } from '../command.ts';
import { readConfigFile } from '../config-file.ts';
import { draftPath, putDocument } from '../remote-config.ts';

export const draftPush = defineCommand({
  name: 'draft push',
  summary: "Replace a draft's config by a file's; nothing of it is live",
  args: ['TENANT', 'DRAFT', 'FILE'],
  flags: {},
  remote: true,
  notes:
    'Objects have to be right by themselves; whether they fit together is said by "draft validate".\n' +
    'Exit code: 0 done; 1 the file has faults ("file:line:col pointer message" for each); 2 trouble.',
  examples: ['arcus draft push acme friday acme.yaml', 'arcus pull acme | arcus draft push acme friday -'],
  async run({ args, out, connect }) {
    const [tenant, draft, name] = args as [string, string, string];
    const file = await readConfigFile(name);
    const { body } = await putDocument(connect(), draftPath(tenant, draft, 'config'), file);
    if (out.json) out.data(body);
    else out.say(`${tenant}: draft ${draft} changes ${body.changes} ${body.changes === 1 ? 'object' : 'objects'}`);
    return OK;
  },
});
