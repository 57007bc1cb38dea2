/** Who listens where, over all tenants: two may not want the same socket on the same machines. */
import { listenAddresses, listenConflict } from '@arcus/gateway/check.ts';
import type { Config } from '@arcus/gateway/config.ts';
import type { Fault } from '@arcus/gateway/fault.ts';
import type { ListenAddress } from '@arcus/gateway/kind.ts';
import { canonicalIp } from '@arcus/gateway/match/ip.ts';
import { type Db, Prisma, type Tx } from '../../db/open.ts';

export interface Claim extends ListenAddress {
  server: string;
  /** Of the server's `listen` in the config. */
  pointer: string;
}

/** The addresses that a config takes for itself. Port 0 is any free one: nobody else's. */
export function claimsOf(config: Config): Claim[] {
  return listenAddresses(config)
    .filter((listen) => listen.port !== 0)
    .map((listen) => ({ ...listen, host: canonicalIp(listen.host) ?? listen.host }));
}

const keyOf = (claim: ListenAddress): string => `${claim.host}|${claim.port}`;

export function sameClaims(a: readonly Claim[], b: readonly Claim[]): boolean {
  const known = new Set(a.map((claim) => `${keyOf(claim)}|${claim.server}`));
  return a.length === b.length && b.every((claim) => known.has(`${keyOf(claim)}|${claim.server}`));
}

/** A fault for each claim that another tenant's stands against. It names nothing of the other tenant. */
export async function conflicts(db: Db['client'] | Tx, tenant_id: string, claims: readonly Claim[]): Promise<Fault[]> {
  if (claims.length === 0) return [];
  const others = await db.listenAddress.findMany({
    where: { port: { in: [...new Set(claims.map((claim) => claim.port))] }, tenant_id: { not: tenant_id } },
  });
  return claims
    .filter((claim) => others.some((other) => listenConflict(other, claim)))
    .map((claim) => ({
      pointer: claim.pointer,
      code: 'listen_taken',
      message: `${claim.host} port ${claim.port} is not free: choose another address or port`,
    }));
}

/** Puts the claims in the place of the tenant's old ones; answers the conflicts, and then nothing was done. */
export async function writeClaims(db: Db, tx: Tx, tenant_id: string, claims: readonly Claim[]): Promise<Fault[]> {
  const ports = [...new Set(claims.map((claim) => claim.port))].sort((a, b) => a - b);
  if (db.kind === 'mysql' && ports.length > 0) {
    // Writers of different tenants meet here; always in the same order, so that none waits for a waiting one.
    const rows = Prisma.join(ports.map((port) => Prisma.sql`(${port})`));
    await tx.$executeRaw`INSERT INTO listen_ports (port) VALUES ${rows} ON DUPLICATE KEY UPDATE port = VALUES(port)`;
  }
  const faults = await conflicts(tx, tenant_id, claims);
  if (faults.length > 0) return faults;
  await tx.listenAddress.deleteMany({ where: { tenant_id } });
  if (claims.length > 0) {
    await tx.listenAddress.createMany({
      data: claims.map(({ port, host, server }) => ({ tenant_id, port, host, server })),
    });
  }
  return [];
}
