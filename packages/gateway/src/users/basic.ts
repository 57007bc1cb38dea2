import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import { hashLimiter } from '../hash_limiter.ts';
import { type BuildContext, defineUserGroup, type User, type UserGroup } from '../kind.ts';
import { PAUSE } from '../match/rules.ts';
import { hashPassword, verifyPassword, verifySha1 } from '../password.ts';
import { type Twice, UserIndex } from './index.ts';
import { LoginCache, MAX_CREDENTIALS } from './login_cache.ts';
import { checkUser, GroupUser, isSealed, proofOf, StaticUser } from './user.ts';

/** Logins of one group that may wait for their turn. */
const WAITING = 64;

class BasicGroup implements UserGroup {
  readonly name: string;
  readonly type = 'basic';
  readonly users: UserIndex;
  readonly #cache: LoginCache;
  readonly #tenant: string;
  readonly #unseal: BuildContext['unseal'];
  /** Checks that run now: the same credentials sent on ten connections are checked once. */
  readonly #running = new Map<string, Promise<User | null>>();

  constructor(name: string, users: UserIndex, ttlMs: number, ctx: BuildContext) {
    this.name = name;
    this.users = users;
    this.#cache = new LoginCache(ttlMs, ctx.services.now);
    this.#tenant = ctx.tenant;
    this.#unseal = ctx.unseal;
    const before = ctx.previous();
    if (before instanceof BasicGroup) {
      this.#cache.adopt(before.#cache, (user, proof) => {
        const config = users.get(user.name);
        return config && proofOf(config) === proof ? new GroupUser(config, name) : null;
      });
    }
  }

  authenticate(credentials: string): User | null | Promise<User | null> {
    const known = this.#cache.get(credentials);
    if (known !== undefined) return known;
    if (credentials.length > MAX_CREDENTIALS) return null;
    let running = this.#running.get(credentials);
    if (running === undefined) {
      running = this.#login(credentials).finally(() => this.#running.delete(credentials));
      this.#running.set(credentials, running);
    }
    return running;
  }

  async #login(credentials: string): Promise<User | null> {
    const text = decodeBasic(credentials);
    const colon = text?.indexOf(':') ?? -1;
    if (text === null || colon < 0) return null;
    const config = this.users.get(text.slice(0, colon));
    if (await this.#isRight(config, text.slice(colon + 1))) {
      const user = new GroupUser(config!, this.name);
      this.#cache.proven(credentials, user, proofOf(config!));
      return user;
    }
    this.#cache.wrong(credentials);
    return null;
  }

  async #isRight(config: StaticUser | undefined, password: string): Promise<boolean> {
    const { password_hash, token } = config ?? {};
    const place = `user_groups/${this.name}/static_users/${config?.name ?? ''}`;
    if (password_hash !== undefined) {
      const phc = this.#open(password_hash, `${place}/password_hash`);
      if (phc !== null) return this.#inTurn(() => verifyPassword(phc, password));
    } else if (token !== undefined) {
      const sha1 = this.#open(token.sha1, `${place}/token/sha1`);
      if (sha1 !== null && verifySha1({ salt: token.salt, sha1 }, password)) return true;
    }
    // An unknown user takes as long as a wrong password.
    // Does any login cost a slow hash? Then each wrong one must, or time tells which names exist.
    if (this.users.slow > 0) await this.#inTurn(async () => verifyPassword(await dummyHash(), password));
    else verifySha1({ salt: 'arcus', sha1: '' }, password);
    return false;
  }

  #inTurn(job: () => Promise<boolean>): Promise<boolean> {
    return hashLimiter.run({ tenant: this.#tenant, part: this, most: WAITING }, job);
  }

  /** Clear text of a stored credential; null, and so no login, when it cannot be unsealed. */
  #open(value: string, place: string): string | null {
    if (!isSealed(value)) return value;
    try {
      return this.#unseal(value, place);
    } catch {
      return null;
    }
  }

  explain(): string {
    return `Knows ${this.users.list.length} users by name and password.`;
  }
}

let dummy: Promise<string> | undefined;
/** A hash of the usual cost that no password fits; made when it is needed first. */
function dummyHash(): Promise<string> {
  dummy ??= hashPassword(crypto.randomUUID());
  return dummy;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** `user:password` from the base64 text of RFC 7617; null when it is not base64 or not UTF-8. */
function decodeBasic(credentials: string): string | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(credentials)) return null;
  try {
    return utf8.decode(Buffer.from(credentials, 'base64'));
  } catch {
    return null;
  }
}

export const basic = defineUserGroup({
  type: 'basic',
  description: 'Users listed in the config, who log in with name and password (Basic, RFC 7617)',
  config: {
    static_users: z.array(StaticUser).default([]).describe('Users; one without any credential cannot log in'),
    auth_cache_seconds: z
      .int()
      .min(0)
      .max(3600)
      .default(60)
      .describe('A login that was checked is trusted for this time without checking again, s'),
  },
  examples: [
    { name: 'nobody', type: 'basic' },
    {
      name: 'staff',
      type: 'basic',
      auth_cache_seconds: 30,
      static_users: [
        {
          name: 'alice',
          password_hash:
            '$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
          dst_port_filter: [80, 443],
          dst_host_filter_set: { exact: ['allowed.example.com'], child: ['*.safe.example.net'] },
        },
        { name: 'bob', token: { salt: 'pepper', sha1: 'a94a8fe5ccb19ba61c4c0873d391e987982fbbd3' }, blocked: true },
      ],
    },
  ],
  *check(config, { made, previous }): Generator<Fault | undefined> {
    const { static_users: users } = config;
    const known = previous instanceof BasicGroup ? previous.users : undefined;
    const faults: Fault[] = [];
    let [from, end] = [0, 0];
    const twice = ({ index, first }: Twice) => {
      const message = `the user "${users[index]!.name}" is there twice: /static_users/${first}`;
      faults.push({ pointer: pointer('static_users', index, 'name'), code: 'duplicate_name', message });
    };
    const steps = UserIndex.of(users, known, twice, (...part) => {
      [from, end] = part;
    });
    let step = steps.next();
    for (; !step.done; step = steps.next()) yield undefined;
    made?.set(users, step.value);
    yield* faults;
    for (let i = from; i < end; i++) {
      for (const fault of checkUser(users[i]!)) yield { ...fault, pointer: pointer('static_users', i) + fault.pointer };
      if (i % PAUSE === PAUSE - 1) yield undefined;
    }
  },
  *create(config, ctx): Generator<void, UserGroup> {
    const before = ctx.previous();
    const users =
      (ctx.made?.get(config.static_users) as UserIndex | undefined) ??
      (yield* UserIndex.of(config.static_users, before instanceof BasicGroup ? before.users : undefined));
    return new BasicGroup(config.name, users, config.auth_cache_seconds * 1000, ctx);
  },
});
