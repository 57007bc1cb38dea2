/** What is wrong with a request beyond the grammar of its head. */
import { hasBareLineEnd } from '@arcus/protocol/http1/grammar.ts';
import { isRefused, type RequestHead } from '@arcus/protocol/http1/request.ts';
import { type Authority, parseAuthority } from '@arcus/protocol/http1/target.ts';
import { GatewayError } from '../errors.ts';
import type { HostMismatch, HttpLimits } from './options.ts';

/** The authority of the target wins (RFC 9112 section 3.2.2); a Host that is no host at all is refused. */
export function hostFault(mismatch: HostMismatch, head: RequestHead, authority: Authority): GatewayError | null {
  if (head.host === '' && mismatch === 'rewrite') return null;
  const tunnel = head.method === 'CONNECT';
  const host = parseAuthority(head.host, tunnel ? authority.port : 80);
  if (isRefused(host)) return new GatewayError('bad_request', `Host: ${host.reason}`);
  if (mismatch === 'rewrite' || (host.host === authority.host && host.port === authority.port)) return null;
  return new GatewayError('host_mismatch', 'Host differs from the request target');
}

/** What can be said of a head before its end has come: nobody may make us wait for what is wrong already. */
export function unfinished(text: string, searched: number, limits: HttpLimits): GatewayError | null {
  const line = text.indexOf('\r\n');
  // A CR that ends the line may be there without its LF.
  const most = limits.request_line_bytes + (line < 0 && text.endsWith('\r') ? 1 : 0);
  if (text.length > limits.header_bytes || (line < 0 && text.length > most)) return tooLong(text, limits);
  if (hasBareLineEnd(text, Math.max(0, searched - 1)))
    return new GatewayError('bad_request', 'a bare carriage return or line feed');
  return null;
}

export function tooLong(text: string, limits: HttpLimits): GatewayError {
  const line = text.indexOf('\r\n');
  if ((line < 0 ? text.length : line) > limits.request_line_bytes)
    return new GatewayError('uri_too_long', `the request line is longer than ${limits.request_line_bytes} bytes`);
  return new GatewayError('headers_too_large', `the head is longer than ${limits.header_bytes} bytes`);
}

/** Is `worker` the received-by of one member of this Via? RFC 9110 section 7.6.3. */
export function passedBy(via: string, worker: string): boolean {
  return via.includes(worker) && via.split(',').some((member) => member.trim().split(/[ \t]+/)[1] === worker);
}
