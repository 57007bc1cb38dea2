import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, test } from 'node:test';
import { main } from './cli.ts';
import { commands } from './commands.ts';

const folder = mkdtempSync(join(tmpdir(), 'arcus-cli-'));
after(() => rmSync(folder, { recursive: true }));

/** Runs a command line in this process, with nothing of the caller's environment. */
async function arcus(args: readonly string[], env: Record<string, string> = {}) {
  const sink = () => {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += chunk;
        done();
      },
    });
    return { stream, read: () => text };
  };
  const [stdout, stderr] = [sink(), sink()];
  const code = await main(args, { ARCUS_DATA: folder, ...env }, { stdout: stdout.stream, stderr: stderr.stream });
  return { code, stdout: stdout.read(), stderr: stderr.read() };
}

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

const good = `
servers:
  - name: web
    type: http_proxy
    listen: { address: "127.0.0.1:8080" }
    escaper: out
escapers:
  - { name: out, type: direct_fixed }
user_groups:
  - name: staff
    type: basic
    static_users: [{ name: ann, password: secret }]
`;

test('every command has help with an example, and refuses a flag that it does not know', async () => {
  for (const { name, examples } of commands) {
    const help = await arcus([...name.split(' '), '--help']);
    assert.equal(help.code, 0);
    assert.ok(examples.length > 0 && help.stdout.includes(examples[0]!), name);
    const unknown = await arcus([...name.split(' '), '--nonsense']);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /'--nonsense'\nTry: arcus .*--help/);
  }
});

test('it says which one it is', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  for (const word of ['--version', '-V', 'version']) {
    assert.deepEqual(await arcus([word]), { code: 0, stdout: `arcus ${version}\n`, stderr: '' });
  }
  const said = JSON.parse((await arcus(['--version', '--json'])).stdout);
  assert.deepEqual(said, { version, node: process.version });
});

test('a missing argument is named, and one too many too', async () => {
  assert.match((await arcus(['push', 'acme'])).stderr, /FILE is missing/);
  assert.match((await arcus(['pull', 'acme', 'more'])).stderr, /"more" is one argument too many/);
  assert.match((await arcus(['pul'])).stderr, /there is no command "pul"/);
  assert.match((await arcus(['token'])).stderr, /token create/);
});

test('flags of a rollout belong to one', async () => {
  const said = async (...args: string[]) => {
    const { code, stderr } = await arcus(args, { ARCUS_API: 'http://127.0.0.1:1', ARCUS_TOKEN: 'x' });
    assert.equal(code, 2);
    return stderr;
  };
  const name = file('rolled.yaml', good);
  assert.match(await said('push', 'acme', name, '--percent', '5'), /--percent needs --rollout/);
  assert.match(await said('draft', 'apply', 'acme', 'd', '--ignore-nack'), /--ignore-nack needs --rollout/);
  for (const other of [['--publish', 'now'], ['--wait', '--timeout', '5s'], ['--dry-run']]) {
    assert.match(await said('push', 'acme', name, '--rollout', ...other), /exclude each other/);
  }
  assert.match(await said('push', 'acme', name, '--rollout', '--steps', 'a'), /--steps: "a" is not a number/);
});

test('a valid file is valid, with passwords in clear too', async () => {
  assert.deepEqual(await arcus(['validate', file('good.yaml', good)]), { code: 0, stdout: '', stderr: '' });
});

test('each fault of each file is told with file, line, column and pointer', async () => {
  const wrong = file('wrong.yaml', good.replace('escaper: out', 'escaper: nowhere').replace('password', 'pasword'));
  const torn = file('torn.json', '{"servers": [}');
  const { code, stdout } = await arcus(['validate', wrong, torn]);
  assert.equal(code, 1);
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, 3, stdout);
  assert.match(stdout, new RegExp(`^${wrong}:12:\\d+ /user_groups/0/static_users/0/pasword unknown key`, 'm'));
  assert.match(stdout, new RegExp(`^${wrong}:6:5 /servers/0/escaper there is no "nowhere"`, 'm'));
  assert.match(stdout, new RegExp(`^${torn}:1:\\d+ / `, 'm'));
});

test('validate --json is for programs', async () => {
  const { code, stdout } = await arcus(['validate', '--json', file('wrong2.yaml', 'servers: 5')]);
  assert.equal(code, 1);
  const { valid, faults } = JSON.parse(stdout);
  assert.equal(valid, false);
  assert.deepEqual([faults[0].pointer, faults[0].line, faults[0].code], ['/servers', 1, 'invalid_type']);
});

test('a file that is not there is trouble, not an invalid one', async () => {
  const { code, stderr } = await arcus(['validate', join(folder, 'absent.yaml')]);
  assert.equal(code, 2);
  assert.match(stderr, /absent\.yaml: there is no such file/);
});

test('all files are told of, also when some cannot be read', async () => {
  const bad = file('bad.yaml', 'servers: 5');
  const { code, stdout, stderr } = await arcus(['validate', folder, join(folder, 'absent.yaml'), bad]);
  assert.equal(code, 2);
  assert.match(stdout, /bad\.yaml:1:1 \/servers must be a list/);
  assert.match(stderr, /: this is a folder, not a file/);
  assert.match(stderr, /absent\.yaml: there is no such file/);
  const { stdout: json } = await arcus(['validate', '--json', folder, bad]);
  assert.deepEqual([JSON.parse(json).unread.length, JSON.parse(json).faults.length], [1, 1]);
});

test('an empty file is no config: nothing is wiped by mistake', async () => {
  for (const text of ['', '# nothing\n', 'null\n', '---\n']) {
    const empty = file('empty.yaml', text);
    const { code, stdout } = await arcus(['validate', empty]);
    assert.equal(code, 1, text);
    assert.match(stdout, /empty\.yaml:1:1 \/ the document is empty: a config without anything is \{\}/);
    const env = { ARCUS_API: 'http://127.0.0.1:1', ARCUS_TOKEN: 'x' };
    for (const command of [
      ['push', 'acme', empty],
      ['diff', 'acme', empty],
      ['draft', 'push', 'acme', 'd', empty],
    ]) {
      const pushed = await arcus(command, env);
      assert.equal(pushed.code, 1, pushed.stderr);
      assert.match(pushed.stdout, /the document is empty/);
    }
  }
  assert.equal((await arcus(['validate', file('said.yaml', '{}')])).code, 0);
});

test('a file that is not UTF-8 is not guessed at', async () => {
  writeFileSync(join(folder, 'latin.yaml'), Buffer.from('servers: [{ name: "\xe4" }]', 'latin1'));
  assert.match((await arcus(['validate', join(folder, 'latin.yaml')])).stderr, /latin\.yaml: this is not UTF-8/);
});

test('without an API, it says how to name one', async () => {
  const { code, stderr } = await arcus(['status']);
  assert.equal(code, 2);
  assert.match(stderr, /ARCUS_API.*arcus up/);
});

test('an API that does not answer is named, and the token is not', async () => {
  const env = { ARCUS_API: 'http://127.0.0.1:1', ARCUS_TOKEN: 'arcus_secret' };
  const { code, stdout, stderr } = await arcus(['status', '--json'], env);
  assert.equal(code, 2);
  assert.equal(stdout, '');
  assert.match(JSON.parse(stderr).error.message, /127\.0\.0\.1:1 does not answer/);
  assert.doesNotMatch(stderr, /arcus_secret/);
});

test('an API that is named gets no token that was not', async () => {
  const { code, stderr } = await arcus(['status', '--api', 'http://127.0.0.1:1']);
  assert.equal(code, 2);
  assert.match(stderr, /no token/);
});

test('push refuses flags that would do nothing', async () => {
  const env = { ARCUS_API: 'http://127.0.0.1:1', ARCUS_TOKEN: 'x' };
  assert.match((await arcus(['push', 'a', 'f', '--timeout', '5s'], env)).stderr, /--timeout needs --wait/);
  assert.match((await arcus(['push', 'a', 'f', '--wait', '--timeout', 'soon'], env)).stderr, /--timeout: "soon"/);
  assert.match((await arcus(['push', 'a', 'f', '--wait', '--dry-run'], env)).stderr, /exclude each other/);
});

test('migrate makes a database, and finds it up to date the second time', async () => {
  const url = `file:${join(folder, 'new.db')}`;
  assert.match((await arcus(['migrate', '--database', url])).stdout, /applied \d+_init/);
  assert.match((await arcus(['migrate', '--database', url])).stdout, /up to date/);
});

test('token create --local makes a token that is printed alone', async () => {
  const env = { ARCUS_DATABASE_URL: `file:${join(folder, 'tokens.db')}` };
  await arcus(['migrate'], env);
  assert.match((await arcus(['token', 'create', '--local'], env)).stdout, /^arcus_[\w-]{43}\n$/);
  const absent = await arcus(['token', 'create', '--local', '--role', 'tenant', '--tenant', 'nobody'], env);
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /there is no tenant nobody/);
});
