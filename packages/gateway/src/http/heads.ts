/** Heads as they leave: what was kept of the received head, byte for byte, and what this hop says itself. */
import type { RequestHead } from '@arcus/protocol/http1/request.ts';
import type { ResponseHead } from '@arcus/protocol/http1/response.ts';
import type { Egress } from '../kind.ts';
import type { HttpServerContext } from './connection.ts';

/** RFC 9110 section 7.6.3: the version is that of the message as it was received. */
const viaLine = (via: string, minor: number): string => (minor === 1 ? via : via.replace('1.1', '1.0'));

/** What a request that asks a next proxy for a tunnel says in Via: the received members, then `via`, the line of this hop. */
export const viaOf = (head: RequestHead, via: string): string =>
  `${head.via && `${head.via}, `}${viaLine(via, head.minor).slice('Via: '.length, -'\r\n'.length)}`;

/** The request to the site, or to the next proxy: its method and its target. */
export function requestStart(head: RequestHead, authority: string, egress: Egress): string {
  return egress.form === 'origin'
    ? `${head.method} ${head.path}`
    : `${head.method} http://${authority}${head.path === '*' ? '' : head.path}`;
}

/** What follows its target. `upgrade`: the protocols to ask for, '' for none. */
export function requestRest(
  head: RequestHead,
  authority: string,
  egress: Egress,
  context: HttpServerContext,
  client: string,
  upgrade: string,
): string {
  // RFC 9112 section 3.2.2: Host is made from the target, whatever the client said.
  let text = ` HTTP/1.1\r\nHost: ${authority}\r\n${head.kept}`;
  if (head.chunked) text += 'Transfer-Encoding: chunked\r\n';
  else if (head.contentLength >= 0) text += `Content-Length: ${head.contentLength}\r\n`;
  if (head.maxForwards > 0) text += `Max-Forwards: ${head.maxForwards - 1}\r\n`;
  if (context.forwardedFor !== 'remove') text += forwardedLines(head, context.forwardedFor, client);
  if (upgrade !== '') text += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`;
  return `${text}${viaLine(context.via, head.minor)}${egress.headers}\r\n`;
}

function forwardedLines(head: RequestHead, mode: 'append' | 'replace', client: string): string {
  const node = client.includes(':') ? `"[${client}]"` : client;
  const before = mode === 'append' && head.forwardedFor ? `${head.forwardedFor}, ` : '';
  const beforeForwarded = mode === 'append' && head.forwarded ? `${head.forwarded}, ` : '';
  return `X-Forwarded-For: ${before}${client}\r\nForwarded: ${beforeForwarded}for=${node}\r\n`;
}

const statusLine = (head: ResponseHead): string =>
  head.status === 200 && head.reason_phrase === 'OK'
    ? 'HTTP/1.1 200 OK\r\n'
    : `HTTP/1.1 ${head.status} ${head.reason_phrase}\r\n`;

/** RFC 9110 section 8.6: no Content-Length in 1xx and 204. */
const withoutLength = (head: ResponseHead): string =>
  head.contentLength < 0 ? head.kept : head.kept.replace(/(^|\n)content-length:[^\n]*\n/i, '$1');

/** The final answer to the client. */
export function responseText(head: ResponseHead, unchunk: boolean, persist: boolean, via: string): string {
  let text = statusLine(head) + (head.status === 204 ? withoutLength(head) : head.kept);
  // RFC 9112 section 6.1: never in a 204.
  if (head.chunked && !unchunk && head.status !== 204) text += 'Transfer-Encoding: chunked\r\n';
  // RFC 9110 section 6.6.1: who forwards an answer without a Date adds one.
  if (!head.hasDate) text += `Date: ${new Date().toUTCString()}\r\n`;
  text += viaLine(via, head.minor);
  return persist ? `${text}\r\n` : `${text}Connection: close\r\n\r\n`;
}

/** 1xx. */
export const interimText = (head: ResponseHead, via: string): string =>
  `${statusLine(head)}${withoutLength(head)}${viaLine(via, head.minor)}\r\n`;

/** 101. */
export const upgradeText = (head: ResponseHead, via: string): string =>
  `${statusLine(head)}${withoutLength(head)}Connection: Upgrade\r\nUpgrade: ${head.upgrade}\r\n${via}\r\n`;

/** The answer of the last recipient to TRACE or OPTIONS with Max-Forwards 0: RFC 9110 section 7.6.2. */
export function lastRecipientText(head: RequestHead, persist: boolean): string {
  const trace = head.method === 'TRACE';
  // Not the whole head: an echo must not show what a script could not read otherwise.
  const body = trace
    ? `TRACE ${head.target} HTTP/1.${head.minor}\r\nHost: ${head.host}\r\n${head.via ? `Via: ${head.via}\r\n` : ''}\r\n`
    : '';
  const about = trace
    ? 'Content-Type: message/http\r\n'
    : 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT\r\n';
  const date = new Date().toUTCString();
  return `HTTP/1.1 200 OK\r\nDate: ${date}\r\n${about}Content-Length: ${body.length}\r\n${persist ? '' : 'Connection: close\r\n'}\r\n${body}`;
}
