/**
 * Buffers that are used again: for bulk reads, and for copies that leave in one write. Of a few sizes, so that what waits
 * for a slow peer holds little more memory than it needs.
 */
class BufferPool {
  readonly size: number;
  readonly #most: number;
  readonly #spare: Buffer[] = [];
  /** Taken, and neither given back nor dropped. */
  out = 0;

  /** `most`: so many are kept while nobody uses them. */
  constructor(size: number, most: number) {
    this.size = size;
    this.#most = most;
  }

  take(): Buffer {
    this.out++;
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    const buffer = Buffer.allocUnsafeSlow(this.size);
    owners.set(buffer.buffer, this);
    return buffer;
  }

  give(buffer: Buffer): void {
    this.out--;
    if (this.#spare.length < this.#most) this.#spare.push(buffer);
  }
}

const KIB = 1024;
/** Whose the memory is, for what comes back later. */
const owners = new WeakMap<ArrayBufferLike, BufferPool>();
/** A read of the most common bodies and the head before it fit into the largest. */
const copies = [4, 16, 80].map((kib) => new BufferPool(kib * KIB, 32));
/** For reads of a stream that moves much: the larger, the fewer times its peers are woken; as far as a core's cache goes. */
const bulk = new BufferPool(256 * KIB, 16);
const huge = new BufferPool(1024 * KIB, 16);
/** So many are in use at most: what streams that move very much may cost in memory. */
const MOST_HUGE = 32;

/** A larger one for a stream that has filled `size` bytes; null when there is none. */
export function takeLarger(size: number): Buffer | null {
  if (size < huge.size && huge.out < MOST_HUGE) return huge.take();
  return size < bulk.size ? bulk.take() : null;
}

/** A buffer of at least `size` bytes. */
export function takeFor(size: number): Buffer {
  for (const pool of copies) if (size <= pool.size) return pool.take();
  return Buffer.allocUnsafeSlow(size);
}

/** Nobody reads from or writes to this buffer any more. One that is of no pool is left to the garbage collector. */
export function giveBack(buffer: Buffer): void {
  owners.get(buffer.buffer)?.give(buffer);
}

/** As `giveBack`, for one that somebody may still read from: it is not used again. */
export function drop(memory: ArrayBufferLike): void {
  const pool = owners.get(memory);
  if (pool !== undefined) pool.out--;
}

/** Is it memory of a pool, which must be given back once? */
export const isPooled = (memory: ArrayBufferLike): boolean => owners.has(memory);
