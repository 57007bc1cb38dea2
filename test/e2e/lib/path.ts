/** From an API call to proxied traffic: one suite for both modes. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ApiError } from '@arcus/cli/client.ts';
import { startEcho, startOrigin } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import type { Deployment } from './deployment.ts';
import { block, configOf, createTenant, send, setRules, statusOf } from './tenants.ts';
import { browse, echo, get, tunnel } from './traffic.ts';

/** Processes start, stop and find each other again meanwhile. */
const SLOWLY = { deadline: 60_000 };

export function pathSuite(start: () => Promise<Deployment>): void {
  let d: Deployment;
  let origin: Awaited<ReturnType<typeof startOrigin>>;
  let echoServer: Awaited<ReturnType<typeof startEcho>>;
  /** The same site under two names, so that one can be blocked. */
  let [site, otherSite] = ['', ''];

  before(async () => {
    origin = await startOrigin();
    echoServer = await startEcho();
    d = await start();
    site = `http://127.0.0.1:${origin.port}/`;
    otherSite = `http://localhost:${origin.port}/`;
  });
  after(async () => {
    await d?.close();
    await Promise.all([origin?.close(), echoServer?.close()]);
  });

  it('a tenant is created, and its proxy answers', async () => {
    const port = await freePort();
    await createTenant(d.connection, 'first', { port });
    const answer = await browse({ port }, site);
    assert.equal(answer.status, 200);
    assert.equal(answer.text, 'origin\n');
  });

  it('a blocked site is refused on a connection that was open before, and an open tunnel lives on', async () => {
    const who = { port: await freePort() };
    await createTenant(d.connection, 'blocker', { ...who, connect: [echoServer.port] });
    const client = await RawClient.connect(who);
    const open = await tunnel(who, `localhost:${echoServer.port}`);
    assert.equal((await get(client, who, otherSite)).status, 200);
    await echo(open, 'before');

    await setRules(d.connection, 'blocker', [block('localhost')]);
    const refused = await until(
      async () => {
        const answer = await get(client, who, otherSite);
        return answer.status === 403 ? answer : null;
      },
      { deadline: 30_000, what: 'the blocked site is refused' },
    );
    assert.match(refused.text, /no-localhost/);
    assert.equal((await get(client, who, site)).status, 200);
    await echo(open, 'after');
    await client.close();
    await open.close();
  });

  it('two tenants with the same user names do not meet', async () => {
    const [a, b] = [await freePort(), await freePort()];
    await createTenant(d.connection, 'twin-a', { port: a, users: { ann: 'secret-a' } });
    await createTenant(d.connection, 'twin-b', { port: b, users: { ann: 'secret-b' } });
    await setRules(d.connection, 'twin-a', [block('localhost')], '?wait=acked');
    const at = (port: number, password: string) => ({ port, user: 'ann', password });
    assert.equal((await browse(at(a, 'secret-a'), site)).status, 200);
    assert.equal((await browse(at(b, 'secret-b'), site)).status, 200);
    assert.equal((await browse(at(a, 'secret-b'), site)).status, 407);
    assert.equal((await browse(at(b, 'secret-a'), site)).status, 407);
    assert.equal((await browse(at(a, 'secret-a'), otherSite)).status, 403);
    assert.equal((await browse(at(b, 'secret-b'), otherSite)).status, 200);
  });

  it('a wrong password, or none, is answered with 407', async () => {
    const port = await freePort();
    await createTenant(d.connection, 'guarded', { port, users: { ann: 'right' } });
    const wrong = await browse({ port, user: 'ann', password: 'wrong' }, site);
    assert.equal(wrong.status, 407);
    assert.match(wrong.headers['proxy-authenticate'] ?? '', /^Basic realm=/);
    assert.equal((await browse({ port }, site)).status, 407);
    assert.equal((await browse({ port, user: 'nobody', password: 'right' }, site)).status, 407);
    assert.equal((await browse({ port, user: 'ann', password: 'right' }, site)).status, 200);
  });

  it('an invalid config is refused with every fault, and the old traffic is unharmed', async () => {
    const who = { port: await freePort() };
    await createTenant(d.connection, 'careful', who);
    const client = await RawClient.connect(who);
    assert.equal((await get(client, who, site)).status, 200);
    const config = configOf(who);
    config.servers[0]!.escaper = 'nowhere';
    config.policies[0]!.rules.push({ regex_match: '(', action: 'block' });
    const at = '/tenants/careful/config';
    await assert.rejects(send(d.connection, 'PUT', at, config, { 'if-match': '*' }), (error: ApiError) => {
      assert.equal(error.status, 422);
      const pointers = error.problem.errors!.map((e) => e.pointer).sort();
      assert.deepEqual(pointers, ['/policies/0/rules/0/regex_match', '/servers/0/escaper']);
      return true;
    });
    assert.equal((await statusOf(d.connection, 'careful')).version, 1);
    assert.equal((await get(client, who, site)).status, 200);
    await client.close();
  });

  it('a release that one worker refuses shows as refused with the reason, while the other runs it', async () => {
    const who = { port: await freePort() };
    await createTenant(d.connection, 'shared-machine', who);
    // On this machine the first worker has the port.
    const second = await d.addWorker('worker-b');
    try {
      const status = await until(async () => {
        const now = await statusOf(d.connection, 'shared-machine');
        return now.summary.applied === 1 && now.summary.refused === 1 ? now : null;
      }, SLOWLY);
      const refusing = status.workers.find((w: { worker: string }) => w.worker === 'worker-b');
      assert.equal(refusing.state, 'refused');
      const [issue] = refusing.refused.issues;
      assert.equal(issue.code, 'address_in_use');
      assert.match(issue.message, new RegExp(`127\\.0\\.0\\.1:${who.port}`));
      await assert.rejects(
        setRules(d.connection, 'shared-machine', [block('localhost')], '?wait=acked'),
        (error: ApiError) => error.status === 409 && JSON.stringify(error.problem).includes('worker-b'),
      );
      assert.equal((await browse(who, otherSite)).status, 403);
    } finally {
      await second.kill('SIGTERM');
    }
    await until(async () => (await statusOf(d.connection, 'shared-machine')).summary.converged, SLOWLY);
  });

  it('with the config store away traffic goes on, a restarted worker serves what it had, a write waits and goes live', async () => {
    const who = { port: await freePort() };
    await createTenant(d.connection, 'steady', who);
    const client = await RawClient.connect(who);
    await d.storeAway();
    try {
      assert.equal((await get(client, who, otherSite)).status, 200);
      await client.close();
      const written = await setRules(d.connection, 'steady', [block('localhost')]);
      assert.equal(written.status, 200);
      assert.equal(written.headers.get('arcus-release-state'), 'pending');
      await d.worker.restart();
      await until(async () => (await browse(who, otherSite)).status === 200, SLOWLY);
    } finally {
      await d.storeBack();
    }
    await until(async () => (await browse(who, otherSite)).status === 403, SLOWLY);
    // Workers may run it a moment before its row says that it is out.
    await until(async () => {
      const { summary, state } = await statusOf(d.connection, 'steady');
      return summary.converged && state === 'published';
    }, SLOWLY);
  });

  it('with Redis away traffic goes on', async (t) => {
    if (!d.redis) return t.skip('Redis is in the process here');
    const who = { port: await freePort() };
    await createTenant(d.connection, 'countless', who);
    const client = await RawClient.connect(who);
    await d.redis.process.kill();
    for (let i = 0; i < 20; i++) assert.equal((await get(client, who, site)).status, 200);
    const health = await fetch(new URL('/api/v1/health', d.connection.api));
    assert.equal(((await health.json()) as { status: string }).status, 'degraded');
    await setRules(d.connection, 'countless', [block('localhost')], '?wait=acked');
    assert.equal((await get(client, who, otherSite)).status, 403);
    await client.close();
    await d.redis.process.start();
  });

  it('the API killed between the commit and the publishing: after its restart the release is live', async () => {
    const who = { port: await freePort() };
    await createTenant(d.connection, 'unlucky', who);
    await d.storeAway();
    try {
      const written = await setRules(d.connection, 'unlucky', [block('localhost')]);
      assert.equal(written.headers.get('arcus-release-state'), 'pending');
      await d.api.kill('SIGKILL');
    } finally {
      await d.storeBack();
    }
    await d.api.start();
    await until(async () => (await browse(who, otherSite)).status === 403, SLOWLY);
    assert.equal((await statusOf(d.connection, 'unlucky')).version, 2);
  });
}
