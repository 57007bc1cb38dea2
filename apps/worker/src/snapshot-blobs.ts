/** Which large blobs the tenants' files name. */
export class BlobUsers {
  /** Blob -> tenants whose file names it. */
  readonly #users = new Map<string, Set<string>>();
  readonly #blobsOf = new Map<string, readonly string[]>();

  has(sha256: string): boolean {
    return this.#users.has(sha256);
  }

  clear(): void {
    this.#users.clear();
    this.#blobsOf.clear();
  }

  /** Notes what a tenant's file names now. Gives back what no file names any more. */
  use(tenant: string, blobs: readonly string[]): string[] {
    const before = this.#blobsOf.get(tenant) ?? [];
    for (const sha of blobs) {
      const users = this.#users.get(sha);
      if (users) users.add(tenant);
      else this.#users.set(sha, new Set([tenant]));
    }
    if (blobs.length > 0) this.#blobsOf.set(tenant, blobs);
    else this.#blobsOf.delete(tenant);
    const now = new Set(blobs);
    const left: string[] = [];
    for (const sha of before) {
      if (now.has(sha)) continue;
      const users = this.#users.get(sha);
      users?.delete(tenant);
      if (users?.size !== 0) continue;
      this.#users.delete(sha);
      left.push(sha);
    }
    return left;
  }
}
