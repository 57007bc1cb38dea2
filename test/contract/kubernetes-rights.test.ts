/** deploy/kubernetes: the manifests parse, fit each other, and grant what is called and nothing else. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Script } from 'node:vm';
import { ApiEnv } from '@arcus/api/env.ts';
import { testApi } from '@arcus/api/testing.ts';
import { openStore } from '@arcus/control/open.ts';
import { SCHEMA, type WorkerRecord } from '@arcus/control/release.ts';
import { StoreRefused } from '@arcus/control/store.ts';
import { shardOf, statusName, workerName } from '@arcus/control/stores/kubernetes-names.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { type KubeCall, startKube } from '@arcus/testkit/kube.ts';
import { freePort } from '@arcus/testkit/port.ts';
import { tempDir } from '@arcus/testkit/temp.ts';
import { until } from '@arcus/testkit/until.ts';
import { readWorkerEnv, WorkerEnv } from '@arcus/worker/env.ts';
import { proxyOn, workerOn } from '@arcus/worker/testing.ts';
import { parseAllDocuments } from 'yaml';

const folder = new URL('../../deploy/kubernetes/', import.meta.url);
const files = readdirSync(folder).filter((name) => name !== 'kustomization.yaml');
const objects = files.flatMap((name) =>
  parseAllDocuments(readFileSync(new URL(name, folder), 'utf8')).map((document) => {
    assert.deepEqual(document.errors, [], name);
    return document.toJS();
  }),
);
const of = (kind: string) => objects.filter((object) => object.kind === kind);

/** What Roles grant whom: `user verb resource in namespace`. */
function granted(): Set<string> {
  const grants = new Set<string>();
  for (const binding of of('RoleBinding')) {
    const { namespace } = binding.metadata;
    const role = of('Role').find(
      (each) => each.metadata.name === binding.roleRef.name && each.metadata.namespace === namespace,
    );
    assert.ok(role, `${binding.metadata.name} in ${namespace} names a role that is there`);
    for (const subject of binding.subjects) {
      assert.ok(
        of('ServiceAccount').some(
          ({ metadata }) => metadata.name === subject.name && metadata.namespace === subject.namespace,
        ),
      );
      for (const { apiGroups, resources, verbs } of role.rules) {
        for (const resource of resources) {
          const name = apiGroups[0] === '' ? resource : `${resource}.${apiGroups[0]}`;
          for (const verb of verbs) grants.add(`${subject.name} ${verb} ${name} in ${namespace}`);
        }
      }
    }
  }
  return grants;
}

const say = ({ user, verb, resource, namespace }: KubeCall) => `${user} ${verb} ${resource} in ${namespace}`;

describe('deploy/kubernetes', () => {
  test('names in the manifests fit each other, and every variable is one that Arcus knows', () => {
    const kustomization = parseAllDocuments(readFileSync(new URL('kustomization.yaml', folder), 'utf8'))[0]!.toJS();
    assert.deepEqual([...kustomization.resources].sort(), [...files].sort());
    const namespaces = of('Namespace').map(({ metadata }) => metadata.name);
    for (const { kind, metadata } of objects) {
      const clusterWide = kind === 'Namespace' || kind.startsWith('ValidatingAdmissionPolicy');
      assert.equal(metadata.namespace === undefined, clusterWide, `${kind} ${metadata.name}`);
      if (!clusterWide) assert.ok(namespaces.includes(metadata.namespace));
    }
    const environment = of('ConfigMap')[0].data;
    const known = { 'arcus-api': ApiEnv.shape, 'arcus-worker': WorkerEnv.shape };
    for (const workload of [...of('Deployment'), ...of('StatefulSet')]) {
      const { spec, metadata } = workload.spec.template;
      assert.deepEqual(workload.spec.selector.matchLabels, metadata.labels);
      assert.ok(of('ServiceAccount').some((account) => account.metadata.name === spec.serviceAccountName));
      const [container] = spec.containers;
      const program = new URL(`../../${container.args[1]}`, import.meta.url);
      assert.ok(readFileSync(program).length > 0);
      const variables = [...Object.keys(environment), ...container.env.map(({ name }: { name: string }) => name)];
      for (const name of variables) assert.ok(name in known[workload.metadata.name as keyof typeof known], name);
      const ports = container.ports.map(({ name }: { name: string }) => name);
      for (const probe of ['livenessProbe', 'readinessProbe']) {
        const { httpGet, tcpSocket } = container[probe];
        assert.ok(ports.includes((httpGet ?? tcpSocket).port));
      }
      for (const service of of('Service')) {
        if (service.spec.selector['app.kubernetes.io/component'] !== metadata.labels['app.kubernetes.io/component'])
          continue;
        for (const { targetPort } of service.spec.ports) assert.ok(ports.includes(targetPort));
      }
    }
    const worker = of('StatefulSet')[0].spec;
    assert.ok(of('Service').some(({ metadata }) => metadata.name === worker.serviceName));
    const drain = worker.template.spec.containers[0].env.find(
      ({ name }: { name: string }) => name === 'ARCUS_DRAIN_SECONDS',
    );
    assert.ok(Number(drain.value) < worker.template.spec.terminationGracePeriodSeconds);
    assert.ok(
      readWorkerEnv({ ARCUS_STORE_URL: environment.ARCUS_STORE_URL, ARCUS_REDIS_URL: environment.ARCUS_REDIS_URL }),
    );
  });

  test('the policy for records names Leases as the store does', () => {
    const [policy] = of('ValidatingAdmissionPolicy');
    const [binding] = of('ValidatingAdmissionPolicyBinding');
    assert.equal(binding.spec.policyName, policy.metadata.name);
    const { expression } = policy.spec.validations[0];
    // What it uses of CEL means the same in JavaScript, but for the name of `matches`.
    const script = new Script(expression.replaceAll('.matches(', '.match('));
    const may = (pod: string, lease: string) => Boolean(script.runInNewContext({ variables: { pod, lease } }));
    for (const pod of ['arcus-worker-0', 'w']) {
      assert.ok(may(pod, workerName(pod)));
      for (const shard of ['00', shardOf('acme'), '63']) assert.ok(may(pod, statusName(shard, pod)));
    }
    for (const [pod, lease] of [
      ['', 'arcus-worker-'],
      ['', 'arcus-status-00-'],
      ['w-1', workerName('w-10')],
      ['w-1', statusName('00', 'w-10')],
      ['w-1', statusName('00', 'other-w-1')],
      ['w-1', 'arcus-status-000-w-1'],
      ['w-1', 'x-arcus-status-00-w-1'],
      // A pod's name may hold dots, and in a regular expression they are any letter.
      ['w.1', statusName('00', 'w-1')],
      ['w.1', workerName('w-1')],
    ] as const) {
      assert.ok(!may(pod, lease), `${pod} must not write ${lease}`);
    }
    const account = of('StatefulSet')[0].spec.template.spec.serviceAccountName;
    assert.ok(policy.spec.matchConditions[0].expression.includes(`"system:serviceaccount:arcus:${account}"`));
    assert.equal(workerName('arcus-worker-0'), 'arcus-worker-arcus-worker-0');
  });

  test('api and workers do all their work with these rights, need each of them, and no worker can write a release', async (t) => {
    const rights = granted();
    const tokens = new Map([
      ['a', 'arcus-api'],
      ['w', 'arcus-worker'],
    ]);
    const kube = await startKube({ tokens, allow: (call) => rights.has(say(call)) });
    t.after(() => kube.close());
    const dir = tempDir('rights');
    t.after(() => dir.close());
    const open = async (token: string) => {
      const kubeTokenFile = `${dir.path}/token-${token}`;
      writeFileSync(kubeTokenFile, token);
      const options = { kubeUrl: kube.url, kubeTokenFile, caFile: kube.ca!.certFile, deadline: 30_000 };
      const store = await openStore(of('ConfigMap')[0].data.ARCUS_STORE_URL, options);
      t.after(() => store.close());
      return store;
    };
    const [forApi, forWorker] = [await open('a'), await open('w')];

    const api = await testApi({ store: forApi });
    t.after(() => api.close());
    api.app.context.publisher.start(50);
    const worker = await workerOn(forWorker, `${dir.path}/data`, {
      ARCUS_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
    });
    t.after(() => worker.close({ now: true }));
    const made = await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
    assert.equal(made.status, 201);
    const body = proxyOn(await freePort());
    const put = await api.call('PUT', '/tenants/acme/config?wait=acked&timeout=60s', { body, match: '*' });
    assert.equal(put.status, 200);
    await until(async () => (await api.call('GET', '/tenants/acme/config/status')).body.summary.applied === 1);
    assert.equal((await api.call('DELETE', '/tenants/acme', { match: '*' })).status, 204);
    await until(async () => [...(await forApi.listStatus('acme')).values()].length === 0);

    // What happens seldom: two writers, a worker that takes everything back, what is old removed.
    const record: WorkerRecord = { ...(await forApi.listWorkers())[0]!, id: 'other', schema: SCHEMA };
    const lease = await forWorker.leaseWorker(record, 600);
    const { apiVersion, kind, metadata } = kube.storage.remove('leases', 'arcus', workerName('other'));
    kube.storage.create('leases', 'arcus', { apiVersion, kind, metadata: { name: metadata.name } as any });
    await lease.update(record);
    await lease.close();
    kube.clock = 7_200_000;
    await until(async () => {
      await forApi.listWorkers();
      return kube.calls.some(
        (call) => call.user === 'arcus-api' && call.verb === 'delete' && /leases/.test(call.resource),
      );
    });
    kube.clock = 0;
    const head = await forApi.getHead('acme');
    await forApi.deleteHead('acme', head!.revision);
    await forApi.deleteManifests('acme', [1]);

    const used = new Set(kube.calls.map(say));
    assert.deepEqual([...used].sort(), [...rights].sort());

    await assert.rejects(forWorker.putHead('acme', testHead(99), null), StoreRefused);
    await assert.rejects(forWorker.deleteBlobs(['0'.repeat(64)]), StoreRefused);
  });
});
