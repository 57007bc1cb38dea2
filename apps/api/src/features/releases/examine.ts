/** What is wrong with a change, and the document that it leads to. */
import type { Sealer } from '@arcus/control/seal.ts';
import { type Compiling, checking } from '@arcus/gateway/check.ts';
import { type AnyObject, type Config, configOf, type Entry } from '@arcus/gateway/config.ts';
import type { Fault } from '@arcus/gateway/fault.ts';
import { type Family, families } from '@arcus/gateway/kind.ts';
import { runSliced, type Steps } from '@arcus/gateway/slices.ts';
import { changed } from '@arcus/gateway/window.ts';
import type { Db } from '../../db/open.ts';
import { invalid, type Problem } from '../../http/problem.ts';
import { type Document, find, holdsUsers, objectsOf, type WithUsers } from './document.ts';
import { claimsOf, conflicts, sameClaims } from './listen.ts';
import type { Edit } from './request.ts';
import { protect } from './secrets.ts';
import { sharing } from './share.ts';
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
  const known = knownOf(before);
  const faults = [...edit.faults, ...(await runSliced(checking(edit.entries, tenant_id, { stored: false }, known)))];
  const config = configOf(edit.entries);
  faults.push(...(await runSliced(duplicateUsers(edit.entries, before.document.config))));
  const claims = claimsOf(config);
  if (!sameClaims(claimsOf(before.document.config), claims)) {
    // `config` lacks what could not be parsed, so its indexes may differ from those of `entries`.
    for (const fault of await conflicts(db.client, tenant_id, claims)) {
      faults.push({ ...fault, pointer: relocated(fault.pointer, config, edit.entries) });
    }
  }
  if (faults.length > 0) throw refuse(faults);
  const shared = await runSliced(sharing(before.document.config, config));
  const { config: safe, faults: unsealable } = await protect(sealer, tenant_id, before.document.config, shared);
  if (unsealable.length > 0) throw refuse(unsealable, shared);
  // What was sealed may be what was sealed before.
  const kept = safe === shared ? safe : await runSliced(sharing(before.document.config, safe));
  return { tenant: edit.tenant, config: kept };
}

/** What passed the check of an earlier write need not pass it again: objects, and users of a group. */
function knownOf({ document, graph }: TenantState): Partial<Compiling> {
  const { config } = document;
  return {
    checked: new Set(families.flatMap((family) => objectsOf(config, family))),
    before(family, name) {
      if (family !== 'user_groups') return undefined;
      const [object, known] = [graph?.user_groups.get(name), find(objectsOf(config, family), name)];
      return object && known && { object, config: known };
    },
  };
}

/** A username is unique in its tenant, not only in its group. `old`: where it is so. */
function* duplicateUsers(entries: readonly Entry[], old: Config): Steps<Fault[]> {
  const groups = entries.filter((entry): entry is Entry & { object: WithUsers } =>
    Boolean(entry.object && holdsUsers(entry.object)),
  );
  // Within one group the group's kind looks.
  if (groups.length < 2 || (yield* areNew(groups, old))) return [];
  const faults: Fault[] = [];
  const seen = new Map<string, string>();
  for (const { index, name, object } of groups) {
    for (const [i, user] of object.static_users.entries()) {
      const group = seen.get(user.name);
      if (group !== undefined && group !== name) {
        faults.push({
          pointer: `/user_groups/${index}/static_users/${i}/name`,
          code: 'duplicate_user',
          message: `the user "${user.name}" is in the group "${group}" already`,
        });
      } else seen.set(user.name, name);
      if (i % PAUSE === PAUSE - 1) yield;
    }
  }
  return faults;
}

/** Did nothing but users of one group change, and is none of the new ones in another group? */
function* areNew(groups: readonly { object: WithUsers }[], old: Config): Steps<boolean> {
  const known = objectsOf(old, 'user_groups');
  const others = groups.filter(({ object }) => known.includes(object));
  const [group, more] = groups.filter(({ object }) => !known.includes(object));
  if (!group || more) return !group;
  const before = find(known, group.object.name);
  const users = group.object.static_users;
  const { from, after } = changed(before && holdsUsers(before) ? before.static_users : [], users);
  for (let i = from; i < after; i++) {
    if (others.some(({ object }) => find(object.static_users, users[i]!.name))) return false;
    if (i % PAUSE === PAUSE - 1) yield;
  }
  return true;
}

/** Users looked at between two pauses. */
const PAUSE = 2048;

/** `/<family>/<index>/…` into a config, as the same object's pointer among `entries`. */
export function relocated(pointer: string, config: Config, entries: readonly Entry[]): string {
  const [, family = '', index = '', ...rest] = pointer.split('/');
  const list = config[family as Family] as readonly AnyObject[] | undefined;
  const name = list?.[Number(index)]?.name;
  const entry = entries.find((e) => e.family === family && e.name === name);
  return entry ? ['', family, entry.index, ...rest].join('/') : pointer;
}
