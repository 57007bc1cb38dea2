/**
 * Buffers that are used again: for bulk reads, and for copies that leave in one write. Of a few sizes, so that what waits
 * for a slow peer holds little more memory than it needs.
 */
class BufferPool {
  readonly size: number;
  readonly #most: number;
  readonly #spare: Buffer[] = [];

  /** `most`: so many are kept while nobody uses them. */
  constructor(size: number, most: number) {
    this.size = size;
    this.#most = most;
  }

  take(): Buffer {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    const buffer = Buffer.allocUnsafeSlow(this.size);
    owners.set(buffer.buffer, this);
    return buffer;
  }

  give(buffer: Buffer): void {
    if (this.#spare.length < this.#most) this.#spare.push(buffer);
  }
}

const KIB = 1024;
/** Whose the memory is, for what comes back later. */
const owners = new WeakMap<ArrayBufferLike, BufferPool>();
/** A read of the most common bodies and the head before it fit into the largest. */
const copies = [4, 16, 80].map((kib) => new BufferPool(kib * KIB, 32));
/** For reads of a stream that moves much. */
export const BULK_SIZE = 256 * KIB;
const bulk = new BufferPool(BULK_SIZE, 16);

export const takeBulk = (): Buffer => bulk.take();

/** A buffer of at least `size` bytes. */
export function takeFor(size: number): Buffer {
  for (const pool of copies) if (size <= pool.size) return pool.take();
  return Buffer.allocUnsafeSlow(size);
}

/** Nobody reads from or writes to this buffer any more. One that is of no pool is left to the garbage collector. */
export function giveBack(buffer: Buffer): void {
  owners.get(buffer.buffer)?.give(buffer);
}

/** Is it memory of a pool, which must be given back once? */
export const isPooled = (memory: ArrayBufferLike): boolean => owners.has(memory);
