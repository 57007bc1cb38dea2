import { GatewayError } from '../errors.ts';
import { TcpStream } from '../tcp-stream.ts';

export interface DialOptions {
  /** For all attempts together, ms. */
  timeoutMs: number;
  /** Local IP address to connect from. */
  bindIp?: string | undefined;
  /** Head start of one address over the next, ms (RFC 8305 section 5: 250). */
  staggerMs?: number;
}

/**
 * Connects to the first of `addresses` that answers: happy eyeballs (RFC 8305), in the given order. The addresses
 * are dialled as they are: what was checked is what is reached. Fails with connect_failed or connect_timeout.
 */
export function dial(addresses: readonly string[], port: number, options: DialOptions): Promise<TcpStream> {
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
      for (const cancel of cancels) cancel();
    };
    const fail = (code: 'connect_failed' | 'connect_timeout', detail: string) => {
      finish();
      reject(new GatewayError(code, detail));
    };
    const deadline = setTimeout(
      () =>
        fail(
          'connect_timeout',
          `no answer from ${addresses.slice(0, next).join(', ')} port ${port} in ${options.timeoutMs} ms`,
        ),
      options.timeoutMs,
    );
    const attempt = () => {
      clearTimeout(stagger);
      const host = addresses[next++];
      if (host === undefined) return;
      const cancel = TcpStream.connect({ host, port, localAddress: options.bindIp }, (error, stream) => {
        cancels.delete(cancel);
        if (done) return stream?.destroy();
        if (stream) {
          finish();
          return resolve(stream);
        }
        reasons.push((error as NodeJS.ErrnoException).code ?? String(error));
        if (next < addresses.length) attempt();
        else if (cancels.size === 0) fail('connect_failed', `${reasons.join(', ')} port ${port}`);
      });
      cancels.add(cancel);
      if (next < addresses.length) stagger = setTimeout(attempt, options.staggerMs ?? 250);
    };
    attempt();
  });
}
