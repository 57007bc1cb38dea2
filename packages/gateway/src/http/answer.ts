/** Answers that the proxy itself makes. They name what was refused and why, never a credential or another tenant. */

import { STATUS_CODES } from 'node:http';
import type { RequestHead } from '@arcus/protocol/http1/request.ts';
import { latin1 } from '../bytes.ts';
import { errorTable, type GatewayError } from '../errors.ts';
import { RateLimited } from '../limits.ts';
import { Denied } from '../session.ts';

export interface AnswerContext {
  /** The worker's name, for Via and for who asks support. */
  worker: string;
  realm: string;
  /** Keep the connection for the next request? */
  persist: boolean;
  /** `host:port` of the site, '' when unknown. */
  authority: string;
}

/** The bytes of an error answer, latin1. `head` is null when there was none that could be read. */
export function errorAnswer(error: GatewayError, head: RequestHead | null, context: AnswerContext): string {
  const { status, title } = errorTable[error.code];
  const verdict = error instanceof Denied ? error.verdict : null;
  const html = head !== null && acceptsHtml(head);
  const body = html ? htmlPage(status, title, error, context) : plainPage(status, title, error, context);
  let fields = `Date: ${new Date().toUTCString()}\r\nContent-Type: text/${html ? 'html' : 'plain'}; charset=utf-8\r\n`;
  fields += `Content-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\nArcus-Error: ${error.code}\r\n`;
  if (status === 407) fields += `Proxy-Authenticate: Basic realm="${context.realm}", charset="UTF-8"\r\n`;
  if (error instanceof RateLimited) fields += `Retry-After: ${error.retryAfter}\r\n`;
  if (verdict?.action === 'redirect') fields += `Location: ${verdict.location}\r\n`;
  if (html)
    fields +=
      "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nX-Content-Type-Options: nosniff\r\n";
  if (!context.persist) fields += 'Connection: close\r\n';
  const text = head?.method === 'HEAD' ? '' : latin1(Buffer.from(body));
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}\r\n${fields}\r\n${text}`;
}

function acceptsHtml(head: RequestHead): boolean {
  return /(?:^|\n)accept:[^\r\n]*text\/html/i.test(head.kept);
}

function facts(error: GatewayError, context: AnswerContext): [string, string][] {
  const verdict = error instanceof Denied ? error.verdict : null;
  const list: [string, string][] = [['Code', error.code]];
  if (context.authority) list.unshift(['Site', context.authority]);
  if (verdict) list.push(['Rule', `${verdict.policy}: ${verdict.rule}`]);
  if (error.detail) list.push(['Reason', error.detail]);
  return list;
}

function plainPage(status: number, title: string, error: GatewayError, context: AnswerContext): string {
  const rows = facts(error, context).map(([k, v]) => `${k}: ${v}\n`);
  return `${status} ${title}\n${rows.join('')}`;
}

function htmlPage(status: number, title: string, error: GatewayError, context: AnswerContext): string {
  const rows = facts(error, context).map(([k, v]) => `<dt>${k}</dt><dd>${escapeHtml(v)}</dd>`);
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${status} ${escapeHtml(title)}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:12vh auto;padding:0 1rem;color:#222}h1{font-size:1.4rem}dt{color:#666;font-size:.85rem}dd{margin:0 0 .6rem;overflow-wrap:anywhere}</style>
</head><body><h1>${escapeHtml(title)}</h1><dl>${rows.join('')}</dl></body></html>
`;
}

const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
