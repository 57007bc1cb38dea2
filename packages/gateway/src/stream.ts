/**
 * A duplex stream of bytes: a plain socket now, a TLS layer or an HTTP/2 stream later. What the gateway needs of
 * one, and no more; the receiver can be exchanged, which is what lets a pooled connection change hands.
 */
export interface StreamReceiver {
  /**
   * Bytes came. `chunk` is the receiver's own only until it returns, unless `stream.write` of the same turn
   * keeps it (see TcpStream): copy what must live longer.
   */
  onData(chunk: Buffer): void;
  /** The peer will send no more (a half-close: we may still write). */
  onEnd(): void;
  /** All that was written has left for the kernel after `write` returned false. */
  onDrain(): void;
  /** The stream is gone, both ways; called once. `error` when it was not orderly. */
  onClose(error: Error | null): void;
}

export interface ByteStream {
  receiver: StreamReceiver;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly destroyed: boolean;
  /** False when the bytes are queued: wait for onDrain. A string is latin1. */
  write(chunk: Uint8Array | string): boolean;
  /** Head and first body bytes in one system call. */
  writeHead(head: string, body: Uint8Array): boolean;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then a FIN. */
  end(): void;
  /** Frees the stream now. */
  destroy(): void;
  /** Frees the stream now and tells the peer with a reset (RST), as when the other side was reset. */
  reset(): void;
}
