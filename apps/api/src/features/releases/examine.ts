/** What is wrong with a change, and the document that it leads to. */
import type { Sealer } from '@arcus/control/seal.ts';
import { checking } from '@arcus/gateway/check.ts';
import { type AnyObject, type Config, configOf, type Entry } from '@arcus/gateway/config.ts';
import type { Fault } from '@arcus/gateway/fault.ts';
import type { Family } from '@arcus/gateway/kind.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import type { Db } from '../../db/open.ts';
import { invalid, type Problem } from '../../http/problem.ts';
import { type Document, holdsUsers, share } from './document.ts';
import { claimsOf, conflicts, sameClaims } from './listen.ts';
import type { Edit } from './request.ts';
import { protect } from './secrets.ts';
import type { TenantState } from './state.ts';

/** Faults with pointers into the edit's entries, or into `config` when that is given, as the caller knows them. */
export type Refuse = (faults: readonly Fault[], config?: Config) => Problem;

export function refusal({ entries, locate = (pointer) => `/config${pointer}` }: Edit): Refuse {
  return (faults, config) =>
    invalid(
      faults.map((fault) => {
        const at = config ? relocated(fault.pointer, config, entries) : fault.pointer;
        return { ...fault, pointer: locate(at) };
      }),
    );
}

/** The document without clear text in it; throws all faults, those against other tenants included. */
export async function examine(
  { db, sealer }: { db: Db; sealer: Sealer },
  tenant_id: string,
  before: TenantState,
  edit: Edit,
): Promise<Document> {
  const refuse = refusal(edit);
  const faults = [...edit.faults, ...(await runSliced(checking(edit.entries, tenant_id, { stored: false })))];
  const config = configOf(edit.entries);
  faults.push(...duplicateUsers(edit.entries));
  const claims = claimsOf(config);
  if (!sameClaims(claimsOf(before.document.config), claims)) {
    // `config` lacks what could not be parsed, so its indexes may differ from those of `entries`.
    for (const fault of await conflicts(db.client, tenant_id, claims)) {
      faults.push({ ...fault, pointer: relocated(fault.pointer, config, edit.entries) });
    }
  }
  if (faults.length > 0) throw refuse(faults);
  const shared = share(before.document.config, config);
  const done = await protect(sealer, tenant_id, before.document.config, shared);
  if (done.faults.length > 0) throw refuse(done.faults, shared);
  return { tenant: edit.tenant, config: share(before.document.config, done.config) };
}

/** A username is unique in its tenant, not only in its group. */
function duplicateUsers(entries: readonly Entry[]): Fault[] {
  const faults: Fault[] = [];
  // Within one group the group's kind looks.
  if (entries.filter((entry) => entry.object && holdsUsers(entry.object)).length < 2) return faults;
  const seen = new Map<string, string>();
  for (const entry of entries) {
    if (entry.family !== 'user_groups') continue;
    const users = (entry.object as { static_users?: { name: string }[] } | null)?.static_users ?? [];
    for (const [i, user] of users.entries()) {
      const group = seen.get(user.name);
      if (group !== undefined && group !== entry.name) {
        faults.push({
          pointer: `/user_groups/${entry.index}/static_users/${i}/name`,
          code: 'duplicate_user',
          message: `the user "${user.name}" is in the group "${group}" already`,
        });
      } else seen.set(user.name, entry.name);
    }
  }
  return faults;
}

/** `/<family>/<index>/…` into a config, as the same object's pointer among `entries`. */
export function relocated(pointer: string, config: Config, entries: readonly Entry[]): string {
  const [, family = '', index = '', ...rest] = pointer.split('/');
  const list = config[family as Family] as readonly AnyObject[] | undefined;
  const name = list?.[Number(index)]?.name;
  const entry = entries.find((e) => e.family === family && e.name === name);
  return entry ? ['', family, entry.index, ...rest].join('/') : pointer;
}
