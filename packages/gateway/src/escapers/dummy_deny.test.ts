import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { GatewayError } from '../errors.ts';
import { testGraph } from '../testing/graph.ts';
import { testServices, testSession } from '../testing/services.ts';

const { services, close } = testServices();
after(close);

it('dummy_deny lets nothing out and says which escaper it was', async () => {
  const graph = testGraph({ escapers: [{ name: 'stop', type: 'dummy_deny' }] }, services);
  for (const purpose of ['tunnel', 'forward'] as const) {
    const session = testSession('site.example', { purpose });
    await assert.rejects(
      Promise.resolve(graph.escapers.get('stop')!.connect(session.target, session, purpose)),
      (error) => error instanceof GatewayError && error.code === 'escaper_denied' && /stop/.test(error.detail),
    );
  }
  graph.retire();
});
