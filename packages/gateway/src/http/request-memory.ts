/** What one client connection remembers of its last request: a client mostly says the same again, or all but the path. */
import type { Refused } from '@arcus/protocol/http1/fields.ts';
import { isRefused, type KnownHead, parseRequestHead, type RequestHead } from '@arcus/protocol/http1/request.ts';
import { type Authority, parseAuthority } from '@arcus/protocol/http1/target.ts';
import type { Egress } from '../kind.ts';
import type { HttpServerContext } from './connection.ts';
import { requestRest, requestStart } from './heads.ts';

/** Longer heads are not remembered: an idle connection would hold them. */
const MOST = 2048;

export class RequestMemory {
  /** What was read and written is of this server: another release may have other limits, and another name. */
  #context: HttpServerContext | null = null;
  #known: KnownHead | null = null;
  #authorityText = '';
  #authority: Authority | null = null;
  #authorization = '';
  #credentials = '';
  // The text that went on, and what it was made of.
  #sent: RequestHead | null = null;
  #form = '';
  #sentAuthority = '';
  #fields = '';
  #minor = 1;
  #egressHeaders = '';
  #upgrade = '';
  #rest = '';
  #text = '';

  /** The last request's head, when `text` begins with the same bytes; else null. */
  again(text: string, context: HttpServerContext): KnownHead | null {
    const known = this.#known;
    if (known === null || context !== this.#context) return null;
    const { length } = known.text;
    return (text.length === length ? text : text.slice(0, length)) === known.text ? known : null;
  }

  /** Reads the head that ends at `end`: see `parseRequestHead`. */
  read(text: string, end: number, context: HttpServerContext): RequestHead | Refused {
    if (context !== this.#context) {
      this.#context = context;
      this.#known = this.#sent = null;
      this.#fields = '';
    }
    const { request_line_bytes, header_fields } = context.limits;
    const head = parseRequestHead(text, end, { line: request_line_bytes, fields: header_fields }, this.#known);
    // A part of a long string would hold all of it.
    if (isRefused(head) || text.length > MOST) this.#known = null;
    else this.#known = { text: end === text.length ? text : text.slice(0, end), head };
    return head;
  }

  /** Where the request goes. */
  authorityOf(head: RequestHead): Authority | Refused {
    if (head.authority === this.#authorityText && this.#authority !== null) return this.#authority;
    const authority = parseAuthority(head.authority, 80);
    if (!isRefused(authority)) {
      this.#authorityText = head.authority;
      this.#authority = authority;
    }
    return authority;
  }

  /** Base64 text of Basic credentials, '' when there are none; the same string saves hashing it again. */
  credentialsOf(head: RequestHead): string {
    if (head.proxyAuthorization !== this.#authorization) {
      this.#authorization = head.proxyAuthorization;
      const basic = /^basic +(.*)$/i.exec(head.proxyAuthorization);
      this.#credentials = basic === null ? '' : basic[1]!;
    }
    return this.#credentials;
  }

  /** The request as it goes on: see `requestStart` and `requestRest`. */
  textOf(
    head: RequestHead,
    authority: string,
    egress: Egress,
    context: HttpServerContext,
    client: string,
    upgrade: string,
  ): string {
    const same =
      this.#fields !== '' &&
      head.fields === this.#fields &&
      head.minor === this.#minor &&
      authority === this.#sentAuthority &&
      egress.headers === this.#egressHeaders &&
      upgrade === this.#upgrade &&
      context === this.#context &&
      head.maxForwards < 0;
    if (same && head === this.#sent && egress.form === this.#form) return this.#text;
    if (!same) {
      const rest = requestRest(head, authority, egress, context, client, upgrade);
      // What is not remembered as it came is not remembered as it went.
      if (context !== this.#context || head !== this.#known?.head || head.maxForwards >= 0)
        return requestStart(head, authority, egress) + rest;
      this.#fields = head.fields;
      this.#minor = head.minor;
      this.#sentAuthority = authority;
      this.#egressHeaders = egress.headers;
      this.#upgrade = upgrade;
      this.#rest = rest;
    }
    this.#sent = head;
    this.#form = egress.form;
    this.#text = requestStart(head, authority, egress) + this.#rest;
    return this.#text;
  }
}
