import { GatewayError } from '../errors.ts';
import type { ByteStream } from '../stream.ts';
import { connectTcp } from '../tcp/tcp.ts';

export interface DialOptions {
  /** For all attempts together, ms. */
  timeoutMs: number;
  /** Local IP addresses to connect from, for each IP version; the system chooses where there is none. */
  bind4?: string | undefined;
  bind6?: string | undefined;
  /** Stops all attempts: whoever wanted the connection is gone. */
  signal?: AbortSignal | undefined;
  /** Head start of one address over the next, ms (RFC 8305 section 5: 250). */
  staggerMs?: number;
}

/** So many addresses are tried at most: a name with hundreds of them must not cost hundreds of sockets. */
export const MAX_ATTEMPTS = 10;

/**
 * Connects to the first of `addresses` that answers: happy eyeballs (RFC 8305), in the given order. The addresses
 * are dialled as they are: what was checked is what is reached. Fails with connect_failed, connect_timeout or
 * client_closed (by the signal); then no attempt is left running.
 */
export function dial(addresses: readonly string[], port: number, options: DialOptions): Promise<ByteStream> {
  const { timeoutMs, bind4, bind6, signal, staggerMs = 250 } = options;
  const candidates = addresses.slice(0, MAX_ATTEMPTS);
  return new Promise((resolve, reject) => {
    const cancels = new Set<() => void>();
    const reasons: string[] = [];
    let next = 0;
    let stagger: NodeJS.Timeout | undefined;
    let done = false;

    const finish = () => {
      done = true;
      clearTimeout(deadline);
      clearTimeout(stagger);
      signal?.removeEventListener('abort', abandon);
      for (const cancel of cancels) cancel();
    };
    const fail = (code: 'connect_failed' | 'connect_timeout' | 'client_closed', detail: string) => {
      finish();
      reject(new GatewayError(code, detail));
    };
    const abandon = () => fail('client_closed', 'while the connection was being opened');
    const late = () =>
      fail(
        'connect_timeout',
        `no answer from ${candidates.slice(0, next).join(', ')} port ${port} in ${Math.round(timeoutMs)} ms`,
      );
    const deadline = setTimeout(late, timeoutMs);
    const attempt = () => {
      clearTimeout(stagger);
      const host = candidates[next++];
      if (host === undefined) return;
      const cancel = connectTcp({ host, port, localAddress: host.includes(':') ? bind6 : bind4 }, (error, stream) => {
        cancels.delete(cancel);
        if (done) return stream?.destroy();
        if (stream) {
          finish();
          return resolve(stream);
        }
        reasons.push((error as NodeJS.ErrnoException).code ?? String(error));
        if (next < candidates.length) attempt();
        else if (cancels.size === 0) fail('connect_failed', `${reasons.join(', ')} port ${port}`);
      });
      cancels.add(cancel);
      if (next < candidates.length) stagger = setTimeout(attempt, staggerMs);
    };
    if (signal?.aborted) return abandon();
    signal?.addEventListener('abort', abandon);
    attempt();
  });
}
