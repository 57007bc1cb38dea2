/**
 * Which addresses are this worker's. Its processes share them by SO_REUSEPORT, with which the kernel would let another
 * worker of the same user in as well, and then two workers would answer each other's clients. So a name in the abstract
 * namespace of Unix sockets (unix(7)) stands for each address: it belongs to one process at a time, is seen by all
 * that share the network namespace, and is gone with its owner.
 */
import net from 'node:net';

interface Claim<H> {
  readonly server: net.Server;
  readonly ours: Promise<boolean>;
  readonly holders: Set<H>;
}

export class Claims<H> {
  readonly #claims = new Map<string, Claim<H>>();

  /** True when the address is this worker's now, and `holder` one of those who use it. */
  async claim(address: string, holder: H): Promise<boolean> {
    let claim = this.#claims.get(address);
    if (!claim) {
      const server = net.createServer((socket) => socket.destroy());
      const ours = new Promise<boolean>((resolve) => {
        server.once('error', () => resolve(false));
        server.listen(`\0arcus-worker-listens-on-${address}`, () => resolve(true));
      });
      claim = { server, ours, holders: new Set() };
      this.#claims.set(address, claim);
    }
    claim.holders.add(holder);
    const ours = await claim.ours;
    if (!ours) this.release(address, holder);
    return ours;
  }

  release(address: string, holder: H): void {
    const claim = this.#claims.get(address);
    if (!claim?.holders.delete(holder) || claim.holders.size > 0) return;
    this.#claims.delete(address);
    claim.server.close();
  }

  releaseAll(holder: H): void {
    for (const address of [...this.#claims.keys()]) this.release(address, holder);
  }
}
