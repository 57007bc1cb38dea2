import { diff } from './commands/diff.ts';
import { draftApply } from './commands/draft-apply.ts';
import { draftCreate } from './commands/draft-create.ts';
import { draftDiff } from './commands/draft-diff.ts';
import { draftDiscard } from './commands/draft-discard.ts';
import { draftList } from './commands/draft-list.ts';
import { draftPush } from './commands/draft-push.ts';
import { draftRebase } from './commands/draft-rebase.ts';
import { draftValidate } from './commands/draft-validate.ts';
import { keygen } from './commands/keygen.ts';
import { migrate } from './commands/migrate.ts';
import { pull } from './commands/pull.ts';
import { push } from './commands/push.ts';
import { releaseDiff } from './commands/release-diff.ts';
import { releaseShow } from './commands/release-show.ts';
import { releases } from './commands/releases.ts';
import { rollback } from './commands/rollback.ts';
import { rolloutAbort, rolloutPause, rolloutPromote, rolloutResume, rolloutStatus } from './commands/rollout-move.ts';
import { rolloutStart } from './commands/rollout-start.ts';
import { status } from './commands/status.ts';
import { tokenCreate } from './commands/token-create.ts';
import { up } from './commands/up.ts';
import { validate } from './commands/validate.ts';
import { workers } from './commands/workers.ts';

/** All commands, in the order of help. */
export const commands = [
  ...[up, validate, diff, push, pull, status, workers, releases, releaseShow, releaseDiff, rollback],
  ...[draftList, draftCreate, draftPush, draftDiff, draftValidate, draftRebase, draftApply, draftDiscard],
  ...[rolloutStart, rolloutStatus, rolloutPause, rolloutResume, rolloutAbort, rolloutPromote],
  ...[tokenCreate, keygen, migrate],
] as const;
