import { join, resolve } from 'node:path';
import { ensureKeyFiles } from '@arcus/control/sign.ts';
import { CommandError, defineCommand, NO, OK } from '../command.ts';

export const keygen = defineCommand({
  name: 'keygen',
  summary: 'Make the pair of keys that releases are signed and checked with',
  args: ['[FOLDER]'],
  flags: {},
  remote: false,
  notes:
    'Writes signing.key (for the management API alone: ARCUS_SIGNING_KEY_FILE) and signing.pub (for workers:\n' +
    'ARCUS_VERIFY_KEYS_FILE). A key that is there is never replaced; signing.pub is made again from it.\n' +
    'Exit code: 0 made, 1 there is one already.',
  examples: ['arcus keygen /etc/arcus', 'cat old/signing.pub new/signing.pub > verify.pub   # both are believed'],
  async run({ args, out }) {
    const folder = resolve(args[0] ?? '.');
    const [signing, verify] = [join(folder, 'signing.key'), join(folder, 'signing.pub')];
    const { made, key } = await ensureKeyFiles(signing, verify);
    if (!made) throw new CommandError(`${signing} is there already (key ${key})`, { exitCode: NO, details: { key } });
    if (out.json) out.data({ key, signing_key_file: signing, verify_keys_file: verify });
    else {
      out.say(`key ${key}`);
      out.say(`${signing}  for the management API: ARCUS_SIGNING_KEY_FILE`);
      out.say(`${verify}  for workers: ARCUS_VERIFY_KEYS_FILE`);
    }
    return OK;
  },
});
