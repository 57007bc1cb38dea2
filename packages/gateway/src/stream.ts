/**
 * A duplex stream of bytes: a plain socket now, a TLS layer or an HTTP/2 stream later. What the gateway needs of
 * one, and no more; the receiver can be exchanged, which is what lets a pooled connection change hands.
 */
export interface StreamReceiver {
  /**
   * Bytes came. `borrowed`: the chunk is overwritten when this call returns, copy what must live longer. Else it
   * stays as it is while this stream is paused, and for good if it is never resumed.
   */
  onData(chunk: Buffer, borrowed: boolean): void;
  /** The peer will send no more (a half-close: we may still write). */
  onEnd(): void;
  /** All that was written has left for the kernel; called once after each `write` that returned false. */
  onDrain(): void;
  /** The stream is gone, both ways; called once. `error` when it was not orderly. */
  onClose(error: Error | null): void;
}

/** Receives nothing; in place until an owner is set. A stream that ends or fails while nobody owns it frees itself. */
export const nobody: StreamReceiver = {
  onData() {},
  onEnd() {},
  onDrain() {},
  onClose() {},
};

/** IPv4-mapped IPv6 is written as IPv4. */
export const plainAddress = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address);

export interface ByteStream {
  receiver: StreamReceiver;
  /** IP address of the peer; IPv4-mapped IPv6 is written as IPv4. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly destroyed: boolean;
  /** True from a write that returned false until onDrain. */
  readonly blocked: boolean;
  /**
   * How much of what was written the peer has taken, bytes: acknowledged, where the kernel tells, else handed to the
   * kernel. To be compared with a later answer; it waits for a look at the kernel.
   */
  taken(): Promise<number>;
  /**
   * A string is latin1. False when the kernel did not take all of it: the rest is read from `chunk` later, so who
   * wrote it must pause its source until onDrain. A `borrowed` chunk (see onData) is copied first.
   */
  write(chunk: Uint8Array | string, borrowed?: boolean): boolean;
  /** Both in one system call; both are copied. */
  writeBoth(head: string, body: Buffer): boolean;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then a FIN. */
  end(): void;
  /** Frees the stream now. */
  destroy(): void;
  /** Frees the stream now and tells the peer with a reset (RST), as when the other side was reset. */
  reset(): void;
}
