import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startEcho } from '@arcus/testkit/origin.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { until } from '@arcus/testkit/until.ts';
import { GatewayError } from '../errors.ts';
import type { Egress, Escaper, Resolver } from '../kind.ts';
import { build } from '../testing/contract.ts';
import { testServices, testSession } from '../testing/services.ts';
import { directFixed } from './direct_fixed.ts';

const { services, close } = testServices();
const echo = await startEcho();
after(async () => {
  await echo.close();
  close();
});

/** The kind with a resolver that answers what a test says. */
function direct(fields: object, answers: Record<string, string[]> = {}): Escaper & { asked: string[] } {
  const asked: string[] = [];
  const resolver: Resolver = {
    name: 'dns',
    type: 'fake',
    async resolve(host) {
      asked.push(host);
      if (!answers[host]) throw new GatewayError('dns_failed', host);
      return answers[host];
    },
  };
  const config = directFixed.config.parse({ name: 'direct', type: 'direct_fixed', resolver: 'dns', ...fields });
  const escaper = build(directFixed, config, {
    ...{ tenant: 'test', services, policies: [], previous: () => undefined, unseal: (v: string) => v },
    get: () => resolver as never,
  });
  return Object.assign(escaper, { asked });
}

const open = { egress_allow: [{ network: '127.0.0.0/8', ports: [echo.port] }] };

async function connect(escaper: Escaper, host: string, purpose: 'tunnel' | 'forward' = 'tunnel', port = echo.port) {
  const session = testSession(host, { port, purpose });
  return escaper.connect(session.target, session, purpose);
}

function answer(egress: Egress, text: string): Promise<string> {
  return new Promise((resolve) => {
    egress.stream.receiver = {
      onData: (chunk) => resolve(chunk.toString()),
      onEnd() {},
      onDrain() {},
      onClose() {},
    };
    egress.stream.write(text);
  });
}

const fails =
  (code: string, detail = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, code);
    assert.match(error.detail, detail);
    return true;
  };

describe('direct_fixed', () => {
  it('reaches a site by name and says where it went', async () => {
    const escaper = direct(open, { 'site.example': ['127.0.0.1'] });
    const egress = await connect(escaper, 'site.example');
    assert.equal(await answer(egress, 'hello'), 'hello');
    assert.equal(egress.peer, `127.0.0.1:${echo.port}`);
    assert.equal(egress.escaper, 'direct');
    egress.release(false);
  });

  it('refuses a name whose addresses are all private, whatever the name', async () => {
    const escaper = direct({}, { 'rebind.example': ['127.0.0.1', '10.0.0.1', '::ffff:192.168.0.1'] });
    await assert.rejects(connect(escaper, 'rebind.example'), fails('egress_denied', /loopback.*private/));
  });

  it('dials only those addresses of a name that are allowed, and asks for them once', async () => {
    const escaper = direct(open, { 'mixed.example': ['10.0.0.1', '169.254.169.254', '127.0.0.1'] });
    const egress = await connect(escaper, 'mixed.example');
    assert.equal(egress.peer, `127.0.0.1:${echo.port}`);
    assert.deepEqual(escaper.asked, ['mixed.example']);
    egress.release(false);
  });

  it('guards an address in the request as well, and does not resolve it', async () => {
    const escaper = direct({});
    for (const host of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '169.254.169.254', '0.0.0.0']) {
      await assert.rejects(connect(escaper, host), fails('egress_denied'));
    }
    assert.deepEqual(escaper.asked, []);
  });

  it('opens only the port that was opened', async () => {
    await assert.rejects(connect(direct(open), '127.0.0.1', 'tunnel', echo.port + 1), fails('egress_denied'));
  });

  it('gives an idle connection to the next forward request at once, without a promise', async () => {
    const escaper = direct(open, { 'site.example': ['127.0.0.1'] });
    const first = await connect(escaper, 'site.example', 'forward');
    assert.equal(first.reused, false);
    assert.equal(first.form, 'origin');
    first.release(true);
    const session = testSession('site.example', { port: echo.port, purpose: 'forward' });
    const second = escaper.connect(session.target, session, 'forward');
    assert.ok(!(second instanceof Promise));
    assert.equal(second.reused, true);
    assert.equal(second.stream, first.stream);
    const fresh = escaper.connect(session.target, session, 'forward', true);
    assert.ok(fresh instanceof Promise, 'a fresh one was asked for');
    (await fresh).release(false);
    second.release(true);
    assert.ok(escaper.connect(session.target, session, 'tunnel') instanceof Promise, 'a tunnel never gets a used one');
    escaper.close?.();
    await until(() => second.stream.destroyed);
  });

  it('connects from the address it is told to', async () => {
    const escaper = direct({ ...open, bind_ip: '127.0.0.9' });
    const egress = await connect(escaper, '127.0.0.1');
    assert.equal(await answer(egress, 'x'), 'x');
    egress.release(false);
    const six = direct({ egress_allow: [{ network: '127.0.0.0/8' }], bind_ip: '::1' });
    await assert.rejects(connect(six, '127.0.0.1'), fails('connect_failed', /bind_ip/));
  });

  it('says so when nobody listens, and when a name is unknown', async () => {
    const port = await freePort();
    const escaper = direct({ egress_allow: [{ network: '127.0.0.1' }] });
    await assert.rejects(connect(escaper, '127.0.0.1', 'tunnel', port), fails('connect_failed'));
    await assert.rejects(connect(escaper, 'unknown.example'), fails('dns_failed'));
  });
});
