/** Edits of one user, as `change` takes them: the user's group with one item of its list exchanged. */
import type { Sealer } from '@arcus/control/seal.ts';
import { entriesOf } from '@arcus/gateway/check.ts';
import { type AnyObject, type Config, type Entry, parseEntries } from '@arcus/gateway/config.ts';
import { type Fault, pointer } from '@arcus/gateway/fault.ts';
import { mapSecrets } from '@arcus/gateway/secrets.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import { invalid } from '../../http/problem.ts';
import {
  find,
  findUser,
  holdsUsers,
  indexOf,
  type StaticUser,
  type WithUsers,
  withFamily,
  withItem,
  withoutItem,
} from '../releases/document.ts';
import type { Edit } from '../releases/request.ts';
import { isSealed } from '../releases/secrets.ts';
import type { TenantState } from '../releases/state.ts';
import { isObject, relativeTo } from '../resources/edit.ts';

const groupsOf = (config: Config): readonly AnyObject[] => config.user_groups;
const withGroup = (config: Config, group: WithUsers): Config =>
  withFamily(config, 'user_groups', withItem(groupsOf(config), group));

/**
 * The config with `body` as the user `username`, in the group that it names (if absent: the one it is in). Faults in
 * the user are relative to `body`. A body without credential keeps the one there is.
 */
export async function putUser(state: TenantState, sealer: Sealer, username: string, body: unknown): Promise<Edit> {
  const { config, tenant } = state.document;
  if (!isObject(body)) throw invalid([{ pointer: '', code: 'invalid_type', message: 'must be an object' }]);
  const { username: named, user_group, ...fields } = body;
  const before = findUser(config, username);
  const group = groupFor(config, user_group ?? before?.group.name);
  const faults: Fault[] = [];
  if (named !== undefined && named !== username) {
    faults.push({ pointer: '/username', code: 'name_differs', message: `must be "${username}": names do not change` });
  }
  const given = ['password', 'password_hash', 'token'].some((key) => key in fields);
  const credential = given || !before ? {} : credentialFor(state.row.tenant_id, sealer, before, group);
  // The group's own schema says what a user is: it is parsed with this one user in it.
  const alone = { ...group, static_users: [{ ...credential, ...fields, name: username }] };
  const parsed = await runSliced(parseEntries({ user_groups: [alone] }));
  const place = pointer('user_groups', 0, 'static_users', 0);
  for (const fault of parsed.faults) {
    const at = fault.pointer.startsWith(place) ? fault.pointer.slice(place.length) : fault.pointer;
    faults.push({ ...fault, pointer: at === '/name' ? '/username' : at });
  }
  const user = (parsed.entries[0]?.object as WithUsers | null | undefined)?.static_users[0];

  const elsewhere = before && before.group.name !== group.name ? before.group : undefined;
  const rest = elsewhere
    ? withGroup(config, { ...elsewhere, static_users: withoutItem(elsewhere.static_users, username) } as WithUsers)
    : config;
  // A user that cannot be parsed is left out for now, so that everything else is still checked.
  const users = user ? withItem(group.static_users, user) : withoutItem(group.static_users, username);
  const next = withGroup(rest, { ...group, static_users: users } as WithUsers);
  const index = indexOf(groupsOf(next), group.name);
  const base = pointer('user_groups', index, 'static_users', user ? indexOf(users, username) : 0);
  const relative = relativeTo(base);
  return {
    tenant,
    entries: entriesOf(next) as Entry[],
    faults: faults.map((fault) => ({ ...fault, pointer: base + fault.pointer })),
    locate: (at) => {
      const there = relative(at);
      return there === '/name' && at !== there ? '/username' : there;
    },
  };
}

export function deleteUser(state: TenantState, username: string): Edit {
  const { config, tenant } = state.document;
  const { group } = findUser(config, username)!;
  const users = withoutItem(group.static_users, username);
  return { tenant, entries: entriesOf(withGroup(config, { ...group, static_users: users } as WithUsers)), faults: [] };
}

function groupFor(config: Config, name: unknown): WithUsers {
  const refuse = (code: string, message: string) => invalid([{ pointer: '/user_group', code, message }]);
  if (typeof name !== 'string') throw refuse('required', 'is required: the name of a user group');
  const group = find(groupsOf(config), name);
  if (!group) throw refuse('unknown_reference', `there is no "${name}" in user_groups`);
  if (!holdsUsers(group)) throw refuse('wrong_type', `"${name}" holds no users of its own`);
  return group;
}

/** What the user has now. Secrets are sealed for their place: a user that moves takes them along in clear. */
function credentialFor(
  tenant_id: string,
  sealer: Sealer,
  { user, group }: { user: StaticUser; group: WithUsers },
  next: WithUsers,
): Partial<StaticUser> {
  const pick = ({ password_hash, token }: StaticUser) => ({
    ...(password_hash === undefined ? {} : { password_hash }),
    ...(token === undefined ? {} : { token }),
  });
  if (group.name === next.name) return pick(user);
  const clear = mapSecrets('user_groups', { ...group, static_users: [user] } as WithUsers, (value, place) =>
    isSealed(value) ? sealer.unseal(value, `${tenant_id}/${place}`) : value,
  );
  return pick(clear.static_users[0]!);
}
