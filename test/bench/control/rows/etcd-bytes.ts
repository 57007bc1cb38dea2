/** What a change of one rule of one tenant puts into etcd, beside the changed section itself. */
import { cut } from '@arcus/control/sections.ts';
import { Config } from '@arcus/gateway/config.ts';
import { median } from '../../measure.ts';
import type { Row } from '../../row.ts';
import { Marker } from '../marker.ts';
import { addressOf, documentOf, PORT } from '../tenants.ts';
import { sharedWorld, useAllCores } from '../world.ts';
import { Writer } from '../writer.ts';

const WRITES = 20;
/** Counts key and value of every put (etcd's server/mvcc/metrics.go). */
const PUT_BYTES = /^etcd_(?:debugging_)?mvcc_(?:db_)?total_put_size_in_bytes (\S+)$/m;

export const etcdBytesRow: Row = {
  name: 'etcd-bytes',
  description: 'bytes put into etcd for a change of one rule, without the changed section',
  programs: ['taskset', 'mariadbd', 'etcd', 'redis-server'],
  page: 'control',
  async run(lab) {
    useAllCores();
    const world = await sharedWorld({ tenants: 100, rules: 100 });
    const api = await world.startApi(lab);
    await world.startWorker(lab);
    const put = async () =>
      Number(PUT_BYTES.exec(await (await fetch(`http://127.0.0.1:${world.etcd.port}/metrics`)).text())![1]);
    const writer = new Writer(api.client, 7, world.options.rules);
    const marker = await Marker.open(addressOf(7), PORT);
    const path = '/tenants/t00007/policies/sites?wait=acked';
    await writer.write();
    const runs: number[] = [];
    for (let i = 0; i < WRITES; i++) {
      const before = await put();
      await writer.write();
      await marker.waitFor(writer.mark);
      // Its answer has reached etcd, too.
      await api.client.call('POST', `${path.split('/policies')[0]}/reload?wait=acked`).catch(() => {});
      const after = await put();
      runs.push(after - before);
    }
    marker.close();
    const { sections, blobs } = await cut({
      tenant: {},
      config: Config.parse(documentOf(7, world.options.rules, writer.mark)),
    });
    const section = sections.find(({ path }) => path === '/config/policies')!;
    const changed = section.blobs.reduce((sum, name) => sum + blobs.get(name)!.length, 0);
    const own = runs.map((bytes) => bytes - changed);
    return [
      {
        ...{ name: 'etcd-bytes', unit: `bytes beside the section of ${changed}`, arcus: median(own), peers: {} },
        ...{ ratio: {}, runs: { arcus: own }, target: { arcus: 4096 } },
      },
    ];
  },
};
