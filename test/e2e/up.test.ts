/** `npm start`, as a person meets it. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ask } from '@arcus/cli/client.ts';
import { readReady } from '@arcus/cli/up/ready.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until, within } from '@arcus/testkit/until.ts';
import { cleanEnv, cli, START_MS, startUp } from './lib/deployment.ts';
import { send } from './lib/tenants.ts';
import { tunnel } from './lib/traffic.ts';

const run = promisify(execFile);

/** Runs `arcus up` to its end; resolves to what it printed and its exit code. */
async function failing(env: Record<string, string>): Promise<{ code: number; stderr: string }> {
  const child = spawn(process.execPath, [cli, 'up'], { env: cleanEnv(env), stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [code] = (await within(once(child, 'close'), 'it ends', START_MS).finally(() => child.kill('SIGKILL'))) as [
    number,
  ];
  return { code, stderr };
}

describe('arcus up', () => {
  const dir = tempDir('up');
  const data = join(dir.path, 'data');
  let up: Awaited<ReturnType<typeof startUp>>;

  before(async () => {
    up = await startUp(data);
  });
  after(async () => {
    await up?.process.close();
    dir.close();
  });

  const connection = () => ({ api: new URL(up.ready.api), token: up.ready.admin_token });

  it('prints a curl line that works as pasted', async () => {
    const [line] = await until(() => /^.*curl -x .*$/m.exec(up.process.output));
    const { stdout } = await run('bash', ['-c', `${line.trim().replace(/^Try\s+/, '')} -sS`]);
    assert.match(stdout, /"status":"healthy"/);
  });

  it('prints where everything is, and the admin token of the first start', async () => {
    // Its file is there before its last line came through the pipe.
    await until(() => /^ *Data .*\n/m.test(up.process.output));
    const { output } = up.process;
    for (const text of [up.ready.api, up.ready.docs, up.ready.proxy!, up.ready.admin_token, data]) {
      assert.ok(output.includes(text), `${text} is not in ${output}`);
    }
  });

  it('lets the demo user see how the API is, and nothing else of this machine', async () => {
    const status = async (url: string, ...more: string[]) => {
      const args = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-x', up.ready.proxy!, ...more, url];
      return (await run('curl', args)).stdout;
    };
    assert.equal(await status(up.ready.health), '200');
    const { host } = new URL(up.ready.health);
    assert.equal(
      await status(`http://${host}/api/v1/tenants`, '-H', `Authorization: Bearer ${up.ready.admin_token}`),
      '404',
    );
    assert.equal(await status(up.ready.health, '-X', 'POST'), '404');
    assert.equal(await status(`${up.ready.api}/api/v1/health`), '403');
    assert.equal(await status(`http://${new URL(up.ready.worker_admin).host}/health`), '403');
  });

  it('answers at each address of ready.json, which is for its owner only', async () => {
    assert.equal(statSync(join(data, 'ready.json')).mode & 0o777, 0o600);
    assert.equal((await fetch(`${up.ready.api}/api/v1/health`)).status, 200);
    assert.match(await (await fetch(up.ready.docs)).text(), /<html/i);
    assert.match(((await (await fetch(up.ready.openapi)).json()) as { openapi: string }).openapi, /^3\.1/);
    assert.equal((await fetch(`${up.ready.worker_admin}/ready`)).status, 200);
    assert.equal((await fetch(up.ready.health)).status, 200);
    assert.equal((await ask(connection(), '/tenants/demo')).body.tenant_id, 'demo');
  });

  it('keeps no secret where others can read it', () => {
    for (const name of readdirSync(data).filter((n) => /token|key|json|lock/.test(n))) {
      assert.equal(statSync(join(data, name)).mode & 0o077, 0, name);
    }
    assert.equal(statSync(data).mode & 0o077, 0);
  });

  it('refuses a second start on the same folder', async () => {
    const { code, stderr } = await failing(up.env);
    assert.equal(code, 1);
    assert.match(stderr, /runs already on .*ARCUS_DATA/);
    assert.equal((await fetch(`${up.ready.api}/api/v1/health`)).status, 200);
  });

  it('names the port that is taken and the variable that changes it', async () => {
    const port = await freePort();
    /** None of the two that follow the taken one: what is proposed goes by what Arcus itself wants. */
    const address = async () => {
      let free = port;
      while (free >= port && free <= port + 2) free = await freePort();
      return `127.0.0.1:${free}`;
    };
    const other = async (own: Record<string, string>) => ({
      ARCUS_DATA: join(dir.path, `other-${Object.keys(own)[0]}`),
      ARCUS_API_LISTEN: await address(),
      ARCUS_PROXY_LISTEN: await address(),
      ARCUS_ADMIN_LISTEN: await address(),
      ARCUS_HEALTH_LISTEN: await address(),
      ...own,
    });
    const squatter = createServer().listen(port, '127.0.0.1');
    await once(squatter, 'listening');
    const taken = `127.0.0.1:${port}`;
    try {
      for (const name of ['API', 'PROXY', 'ADMIN', 'HEALTH']) {
        const variable = `ARCUS_${name}_LISTEN`;
        // The next port is one that Arcus itself wants, and does not come to: somebody else may have it.
        const neighbour = name === 'API' ? { ARCUS_PROXY_LISTEN: `127.0.0.1:${port + 1}` } : undefined;
        const { code, stderr } = await failing(await other({ [variable]: taken, ...neighbour }));
        if (name === 'API') assert.match(stderr, new RegExp(`such as ${variable}=127\\.0\\.0\\.1:${port + 2}$`, 'm'));
        assert.equal(code, 1, stderr);
        assert.match(stderr, new RegExp(`${taken.replaceAll('.', '\\.')}.*${variable}`), variable);
        assert.doesNotMatch(stderr, /\n {4}at /, 'a person does not want a stack');
      }
    } finally {
      squatter.close();
    }
  });

  it('keeps everything over a stop and a start, and removes ready.json in between', async () => {
    await send(connection(), 'POST', '/tenants', { tenant_id: 'kept', tenant_name: 'Kept' });
    const before = up.ready;
    await within(up.process.kill('SIGINT'), 'Ctrl-C stops it', START_MS);
    assert.ok(!readdirSync(data).includes('ready.json'));
    const output = up.process.output.length;
    await up.process.start();
    const now = readReady(data)!;
    assert.deepEqual({ ...now, pid: 0 }, { ...before, pid: 0 });
    assert.equal((await ask(connection(), '/tenants/kept')).body.tenant_name, 'Kept');
    const said = await until(() => /token create[\s\S]*\n *Data .*\n/.exec(up.process.output.slice(output)));
    assert.ok(!said.input.includes(before.admin_token));
  });

  it('starts while the demo holds a release, shows what is served, and follows later', async () => {
    const before = new URL(up.ready.proxy!).host;
    const hold = (path: string, body: object) =>
      send(connection(), 'PUT', `/tenants/demo${path}?publish=hold`, body, { 'if-match': '*' });
    await hold('/policies/blocked-sites', { name: 'blocked-sites', type: 'url_filter' });
    await up.process.close();
    const moved = { ...up.env, ARCUS_PROXY_LISTEN: `127.0.0.1:${await freePort()}` };
    up = await startUp(data, moved);
    await until(() => /the proxy of the tenant demo stays .* until the next start/.test(up.process.output));
    assert.equal(new URL(up.ready.proxy!).host, before);

    const { body } = await ask(connection(), '/tenants/demo/servers/proxy');
    await hold('/servers/proxy', { ...body, enabled: false });
    await up.process.kill('SIGINT');
    await up.process.start();
    assert.equal(new URL(readReady(data)!.proxy!).host, before, 'that it is switched off is only held');

    await send(connection(), 'POST', '/tenants/demo/rollback', { version: 1 });
    await up.process.close();
    up = await startUp(data, moved);
    assert.equal(new URL(up.ready.proxy!).host, moved.ARCUS_PROXY_LISTEN);
    const { stdout } = await run('curl', ['-s', '-x', up.ready.proxy!, up.ready.health]);
    assert.match(stdout, /healthy/);
  });

  it('lets the demo follow when addresses move, unless its owner changed it', async () => {
    await up.process.close();
    const moved = {
      ...up.env,
      ARCUS_API_LISTEN: `127.0.0.1:${await freePort()}`,
      ARCUS_PROXY_LISTEN: `127.0.0.1:${await freePort()}`,
      ARCUS_HEALTH_LISTEN: `127.0.0.1:${await freePort()}`,
    };
    up = await startUp(data, moved);
    assert.equal(new URL(up.ready.proxy!).host, moved.ARCUS_PROXY_LISTEN);
    assert.equal(new URL(up.ready.health).host, moved.ARCUS_HEALTH_LISTEN);
    const { stdout } = await run('curl', ['-s', '-x', up.ready.proxy!, up.ready.health]);
    assert.match(stdout, /healthy/);

    const own = `127.0.0.1:${await freePort()}`;
    const { body, headers } = await ask(connection(), '/tenants/demo/servers/proxy');
    const etag = headers.get('etag')!;
    await send(
      connection(),
      'PUT',
      '/tenants/demo/servers/proxy',
      { ...body, listen: { address: own } },
      { 'if-match': etag },
    );
    await up.process.close();
    up = await startUp(data, { ...moved, ARCUS_PROXY_LISTEN: `127.0.0.1:${await freePort()}` });
    assert.equal(new URL(up.ready.proxy!).host, own);
  });

  it('stops at the second Ctrl-C what the first one waits for', async () => {
    // So long that what is open ends at the second one, or never.
    await up.process.close();
    up = await startUp(data, { ...up.env, ARCUS_DRAIN_SECONDS: '3600' });
    const proxy = new URL(up.ready.proxy!);
    const body = {
      name: 'proxy',
      type: 'http_proxy',
      listen: { address: proxy.host },
      escaper: 'direct',
      connect_ports: [Number(new URL(up.ready.health).port)],
    };
    await send(connection(), 'PUT', '/tenants/demo/servers/proxy?wait=acked', body, { 'if-match': '*' });
    const open = await tunnel({ port: Number(proxy.port) }, new URL(up.ready.health).host);
    const child = up.process.pid;
    process.kill(child, 'SIGINT');
    await until(() => up.process.output.includes('Ctrl-C again cuts what still runs.'), { deadline: START_MS });
    assert.ok(open.isOpen);
    // Until the moment is over that counts as the same Ctrl-C.
    await until(
      () => {
        if (up.process.running) process.kill(child, 'SIGINT');
        return !up.process.running;
      },
      { deadline: START_MS },
    );
    await open.close();
  });
});

it('an address that is none is named, before anything is made', async () => {
  const dir = tempDir('up');
  const { code, stderr } = await failing({ ARCUS_DATA: join(dir.path, 'data'), ARCUS_API_LISTEN: 'localhost' });
  assert.equal(code, 2);
  assert.match(stderr, /ARCUS_API_LISTEN: "localhost" is not address:port/);
  assert.deepEqual(readdirSync(dir.path), []);
  dir.close();
});

describe('arcus up that cannot start', () => {
  const dir = tempDir('up');
  after(() => dir.close());
  let count = 0;
  const ports = async () => ({
    ARCUS_DATA: join(dir.path, String(++count)),
    ARCUS_API_LISTEN: `127.0.0.1:${await freePort()}`,
    ARCUS_PROXY_LISTEN: `127.0.0.1:${await freePort()}`,
    ARCUS_ADMIN_LISTEN: `127.0.0.1:${await freePort()}`,
    ARCUS_HEALTH_LISTEN: `127.0.0.1:${await freePort()}`,
  });

  it('names the variable that is wrong, without a stack', async () => {
    for (const [variable, value, why] of [
      ['ARCUS_DATABASE_URL', 'nonsense', /neither file:/],
      ['ARCUS_DATABASE_URL', 'postgres://u:hush@127.0.0.1/x', /scheme postgres:/],
      ['ARCUS_DATABASE_URL', 'file:/dev/null/x.db', /not a folder/],
      ['ARCUS_DATABASE_URL', `mysql://u:hush@127.0.0.1:${await freePort()}/x`, /ECONNREFUSED/],
      ['ARCUS_STORE_URL', 'foo', /must be etcd:\/\/host:port/],
      ['ARCUS_STORE_URL', 'etcd://127.0.0.1', /127\.0\.0\.1 is not host:port/],
      ['ARCUS_REDIS_URL', 'foo', /must begin with redis:/],
      ['ARCUS_LOG_LEVEL', 'loud', /must be one of "fatal", "error"/],
      ['ARCUS_DRAIN_SECONDS', 'x', /must be a number/],
      ['ARCUS_DATA', '/dev/null/x', /ENOTDIR/],
      ['ARCUS_DATA', '/proc/arcus', /ENOENT/],
    ] as const) {
      const { code, stderr } = await failing({ ...(await ports()), [variable]: value });
      assert.notEqual(code, 0);
      assert.match(stderr, new RegExp(variable), `${variable}=${value}: ${stderr}`);
      assert.match(stderr, why);
      assert.doesNotMatch(stderr, /\n {4}at |hush/, 'a person does not want a stack');
    }
  });

  it('says what it waits for, and stops at Ctrl-C', async () => {
    const env = {
      ...(await ports()),
      ARCUS_STORE_URL: `etcd://127.0.0.1:${await freePort()}`,
      ARCUS_LOG_LEVEL: 'silent',
    };
    const child = spawn(process.execPath, [cli, 'up'], { env: cleanEnv(env), stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    try {
      const ended = once(child, 'close');
      await until(() => stderr.includes(`waiting for the config store at ${env.ARCUS_STORE_URL}`), {
        deadline: START_MS,
      });
      child.kill('SIGINT');
      const [code] = await within(ended, 'Ctrl-C stops it', 60_000);
      assert.equal(code, 130, stderr);
      assert.match(stderr, /stopped before it was ready/);
      assert.ok(!readdirSync(env.ARCUS_DATA).some((name) => name === 'ready.json' || name === 'lock'));
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('ends at once at the second Ctrl-C', async () => {
    const env = {
      ...(await ports()),
      ARCUS_STORE_URL: `etcd://127.0.0.1:${await freePort()}`,
      ARCUS_LOG_LEVEL: 'silent',
    };
    const child = spawn(process.execPath, [cli, 'up'], { env: cleanEnv(env), stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    try {
      await until(() => stderr.includes('waiting for the config store'), { deadline: START_MS });
      child.kill('SIGTERM');
      const first = performance.now();
      await until(
        () => {
          // Before that it counts as the same one; two that come while the process stands still are one.
          if (performance.now() - first > 700) child.kill('SIGTERM');
          return child.exitCode;
        },
        { deadline: START_MS },
      );
      assert.equal(child.exitCode, 130);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
