import { diff } from './commands/diff.ts';
import { keygen } from './commands/keygen.ts';
import { migrate } from './commands/migrate.ts';
import { pull } from './commands/pull.ts';
import { push } from './commands/push.ts';
import { status } from './commands/status.ts';
import { tokenCreate } from './commands/token-create.ts';
import { up } from './commands/up.ts';
import { validate } from './commands/validate.ts';

/** All commands, in the order of help. */
export const commands = [up, validate, diff, push, pull, status, tokenCreate, keygen, migrate] as const;
