import { type CompileDeps, compileSliced, type Graph } from '@arcus/gateway/compile.ts';
import { type AnyObject, type Before, configOf, parseEntries, TenantInfo } from '@arcus/gateway/config.ts';
import { FaultError } from '@arcus/gateway/fault.ts';
import { faultsOf } from '@arcus/gateway/issues.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import { z } from 'zod';

const Document = z.strictObject({ tenant: TenantInfo, config: z.unknown() });

/**
 * The graph of a release's document, in slices. Throws FaultError; its pointers are into the document. The API has
 * checked the document before it was published, so faults are rare: another version of the software, another key.
 */
export async function compileDocument(
  document: unknown,
  tenant: string,
  version: number,
  deps: CompileDeps,
  previous: Graph | undefined,
): Promise<Graph> {
  const outer = Document.safeParse(document);
  if (!outer.success) throw new FaultError(faultsOf(outer.error, document));
  const info = outer.data.tenant;
  if (info.tenant_id !== tenant) {
    const message = `the release is of tenant "${info.tenant_id}"`;
    throw new FaultError([{ pointer: '/tenant/tenant_id', code: 'wrong_tenant', message }]);
  }
  try {
    const before: Before = (family, name) =>
      (previous?.config[family] as readonly AnyObject[] | undefined)?.find((object) => object.name === name);
    const { entries, faults } = await runSliced(parseEntries(outer.data.config, before));
    if (faults.length > 0) throw new FaultError(faults);
    const graph = await compileSliced(info, version, configOf(entries), deps, previous);
    // The loader keeps the document's parts for the next release: from now on as the graph does, which is not parsed
    // and built twice then, and in memory once. Whoever shares them would get the same.
    const config = outer.data.config as Record<string, unknown[]>;
    for (const { family, index } of entries) config[family]![index] = graph.config[family][index];
    return graph;
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    throw new FaultError(error.faults.map((f) => ({ ...f, pointer: `/config${f.pointer}` })));
  }
}
