/**
 * Takes an example through all that a release goes through, for nobody: what reads schemas is made and the engine knows the
 * code when the first tenants come, whose many releases at once would hold the event loop with it.
 */
import { canonical } from '@arcus/control/canonical.ts';
import { decodeManifest, readHead } from '@arcus/control/codec.ts';
import { manifestHash } from '@arcus/control/publish.ts';
import { type HeadBody, type Manifest, SCHEMA } from '@arcus/control/release.ts';
import { cut } from '@arcus/control/sections.ts';
import { createSigner, createVerifier, generateKeys } from '@arcus/control/sign.ts';
import type { Graph } from '@arcus/gateway/compile.ts';
import { kinds } from '@arcus/gateway/config.ts';
import { families, type Kind } from '@arcus/gateway/kind.ts';
import { Limits } from '@arcus/gateway/limits.ts';
import type { Services } from '@arcus/gateway/services.ts';
import { Stats } from '@arcus/gateway/stats.ts';
import { Wheel } from '@arcus/gateway/wheel.ts';
import { compileDocument } from './document.ts';
import { ReleaseLoader, type ReleaseSource } from './loader.ts';

/** Releases of the example: enough for the engine to compile the code that most of the time is spent in. */
const RELEASES = 8;
const TENANT = 'warm-up';

function documentOf(version: number) {
  const sites = Array.from({ length: 40 }, (_, i) => ({ child_match: `site-${i}.example`, action: 'block' }));
  return {
    tenant: { tenant_id: TENANT, tenant_name: TENANT, status: 'active', resource_limits: {} },
    config: {
      servers: [{ name: 'web', type: 'http_proxy', listen: { address: '127.0.0.1:8080' }, escaper: 'out' }],
      escapers: [{ name: 'out', type: 'direct_fixed', egress_allow: [{ network: '127.0.0.0/8' }] }],
      policies: [
        {
          name: 'sites',
          type: 'url_filter',
          rules: [
            ...sites,
            { exact_match: 'r.example', action: 'redirect', redirect_url: `http://r${version}.example` },
          ],
        },
      ],
    },
  };
}

export async function warmUp(): Promise<void> {
  for (const family of families) {
    for (const { config, examples } of kinds[family] as readonly Kind[]) {
      for (const example of examples) config.safeParse(example);
    }
  }
  const wheel = new Wheel();
  const services: Services = {
    ...{ now: Date.now, wheel, stats: new Stats(), limits: new Limits(Date.now) },
    ...{ record: () => {}, worker: TENANT },
  };
  const { signingKey, verifyKey } = generateKeys();
  const [signer, verifier] = [createSigner(signingKey), createVerifier(verifyKey)];
  const loader = new ReleaseLoader();
  let graph: Graph | undefined;
  for (let version = 1; version <= RELEASES; version++) {
    const { sections, blobs, checksum } = await cut(documentOf(version));
    const facts = { author: TENANT, message: '', created_at: new Date(0).toISOString() };
    const manifest: Manifest = { schema: SCHEMA, tenant: TENANT, version, sections, checksum, ...facts };
    const body: HeadBody = {
      ...{ schema: SCHEMA, tenant: TENANT, seq: version },
      stable: { version, manifest: manifestHash(manifest) },
    };
    const read = readHead(Buffer.from(canonical(signer.sign(body))), TENANT);
    if (!('head' in read) || (await verifier.check(read.head, TENANT)) !== null) throw new Error('no head');
    const source: ReleaseSource = {
      getManifest: async () => decodeManifest(Buffer.from(canonical(manifest)), TENANT, version),
      getBlobs: async (names) => new Map(names.map((name) => [name, blobs.get(name)!])),
    };
    const release = await loader.load(TENANT, read.head.stable, source);
    const before = graph;
    graph = await compileDocument(
      release.document,
      TENANT,
      version,
      { services, unseal: (value) => value, stored: true },
      before,
    );
    release.keep();
    before?.retire();
  }
  graph?.retire();
  wheel.close();
}
