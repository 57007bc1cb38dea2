import { isRefused } from '@arcus/protocol/http1/request.ts';
import { parseResponseHead } from '@arcus/protocol/http1/response.ts';
import { GatewayError } from '../errors.ts';
import type { ByteStream } from '../stream.ts';
import { PrefixedStream } from './prefixed.ts';

/** All heads of the answer together, interim ones too. */
const MAX_HEAD = 16 * 1024;

/**
 * Asks the proxy at the other end of `stream` for a tunnel and waits for its answer: RFC 9110 section 9.3.6. `head`
 * is the whole request. Answers the stream of the tunnel: what came behind the head of a 2xx belongs to it. Frees
 * the stream and fails with upstream_refused, upstream_invalid, upstream_closed, connect_timeout or client_closed (by the
 * signal).
 */
export function openTunnel(
  stream: ByteStream,
  head: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    let text = '';
    let seen = 0;
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abandon);
    };
    const fail = (
      code: 'upstream_refused' | 'upstream_invalid' | 'upstream_closed' | 'connect_timeout' | 'client_closed',
      why: string,
    ) => {
      settle();
      stream.receiver = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
      stream.destroy();
      reject(new GatewayError(code, `the next proxy ${why}`));
    };
    const abandon = () => fail('client_closed', 'had not answered CONNECT yet');
    const timer = setTimeout(() => fail('connect_timeout', `did not answer CONNECT in ${timeoutMs} ms`), timeoutMs);
    stream.receiver = {
      onData(chunk) {
        text += chunk.toString('latin1');
        for (;;) {
          const end = text.indexOf('\r\n\r\n', Math.max(0, seen - 3));
          seen = text.length;
          if (end + 4 > MAX_HEAD || (end < 0 && text.length > MAX_HEAD)) {
            return fail('upstream_invalid', `answered CONNECT with a head of over ${MAX_HEAD} bytes`);
          }
          if (end < 0) return;
          const answer = parseResponseHead(text, end + 4, { line: 8192, fields: 100 });
          if (isRefused(answer)) return fail('upstream_invalid', `answered CONNECT with a bad head: ${answer.reason}`);
          const { status } = answer;
          if (status >= 200 && status < 300) {
            settle();
            const rest = text.slice(end + 4);
            return resolve(rest === '' ? stream : new PrefixedStream(stream, Buffer.from(rest, 'latin1')));
          }
          if (status >= 200 || status === 101) return fail('upstream_refused', `answered CONNECT with ${status}`);
          text = text.slice(end + 4);
          seen = 0;
        }
      },
      onEnd: () => fail('upstream_closed', 'closed the connection before it answered CONNECT'),
      onDrain() {},
      onClose: () => fail('upstream_closed', 'closed the connection before it answered CONNECT'),
    };
    if (signal.aborted) return abandon();
    signal.addEventListener('abort', abandon);
    stream.write(head);
  });
}
