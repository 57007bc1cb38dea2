/** What a case of the table says: bytes in, bytes at the origin, the answer. */

/** The client ends its side, or is gone with a reset. */
export const FIN = Symbol('the client ends its side');
export const RST = Symbol('the client resets the connection');
export type Step = string | typeof FIN | typeof RST;

/** What the origin does with one request: a plain string is sent when the whole request has come. */
export interface Reply {
  /** Sent when the head of the request has come. */
  early?: string;
  /** Sent when the whole request has come. */
  send?: string;
  /** What happens to the connection after `send` (or after `early`, when there is no `send`). */
  end?: 'fin' | 'reset';
}

/** A conversation of its own inside a tunnel or after 101: once `hear` has arrived, `say` goes out. */
export interface Talk {
  /** '' is heard at once when the connection opens. */
  hear: string;
  say: string;
  end?: 'fin' | 'reset';
}

export interface Answer {
  status: number;
  /** Fields that the answer must have, lower-case name -> value; a null value: must not be there. */
  fields?: Record<string, string | null>;
  /** The body, framing removed. */
  body?: string;
  /** Value of Arcus-Error. */
  code?: string;
}

export interface Case {
  /** What a person would notice. */
  name: string;
  /** The section that asks for it. */
  rfc: string;
  /** Fields of the http_proxy kind. */
  server?: Record<string, unknown>;
  /** Credentials `ann:pw` are asked for. */
  users?: true;
  /** An auditor looks at tunnels, and refuses what it does not know. */
  inspect?: true;
  /** Raw bytes, or steps: each is sent when all is quiet after the one before it. */
  client: string | readonly Step[];
  /** Replies of the origin, in the order its requests come, over all connections. */
  origin?: readonly (string | Reply)[];
  talk?: readonly Talk[];
  /** All that reached the origin, one string for each connection; default: nothing, not even a connection. */
  reached?: string | readonly string[];
  /** Less than `reached` may have come, but never all of it: the message was broken on its way. */
  partly?: true;
  /** Answers in order; a number stands for a status. */
  answers: readonly (number | Answer)[];
  /** Methods of the requests in order, where they matter for reading the answers; default GET. */
  methods?: readonly string[];
  /** Bytes that follow the last answer, inside a tunnel. */
  tunnel?: string;
  /** The last answer has this status and is cut short: nobody may take it for whole. */
  torn?: number;
  /** The client's connection afterwards; default 'kept'. */
  end?: 'kept' | 'closed' | 'reset';
  /** Idle connections to the origin afterwards; checked when given. */
  pooled?: number;
  /** Pieces must arrive apart, which no real socket promises: shown in memory only. */
  apart?: true;
  /** How the bytes may be cut: 'none' when the case is about what comes in one piece. Default 'all'. */
  cuts?: 'all' | 'none';
}

export interface Topic {
  name: string;
  cases: readonly Case[];
}

/** `GET http://o.example/` with the fields given, each a line without CRLF. */
export const get = (...fields: string[]): string => request('GET', 'http://o.example/', ...fields);

/** A request head with a Host field. */
export const request = (method: string, target: string, ...fields: string[]): string =>
  `${method} ${target} HTTP/1.1\r\nHost: o.example\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;

/** What an origin gets of `get(...)` */
export const got = (...fields: string[]): string => gotOf('GET /', ...fields);

/** What an origin gets: request line without version, then the fields that were kept, then Via. */
export const gotOf = (line: string, ...fields: string[]): string =>
  `${line} HTTP/1.1\r\nHost: o.example\r\n${fields.map((f) => `${f}\r\n`).join('')}Via: 1.1 arcus-test\r\n\r\n`;

/** An answer with a length and a Date, so that nothing is added to it but Via. */
export const ok = (body = 'hi', ...fields: string[]): string =>
  `HTTP/1.1 200 OK\r\nDate: ${DATE}\r\n${fields.map((f) => `${f}\r\n`).join('')}Content-Length: ${body.length}\r\n\r\n${body}`;

export const DATE = 'Fri, 20 Nov 2026 12:00:00 GMT';

/** Refused before anything left: answer, then the connection is closed. */
export const refused = (name: string, rfc: string, client: string, status = 400, more: Partial<Case> = {}): Case => ({
  name,
  rfc,
  client,
  answers: [status],
  end: 'closed',
  ...more,
});

/** A plain exchange that works: `client` goes in, `reached` is what the origin sees. */
export const passes = (name: string, rfc: string, client: string, reached: string, more: Partial<Case> = {}): Case => ({
  name,
  rfc,
  client,
  reached,
  origin: [ok()],
  answers: [{ status: 200, body: 'hi' }],
  ...more,
});

/** The origin's bytes are no answer: the client gets 502, and the connection is not used again. */
export const badAnswer = (name: string, rfc: string, bytes: string, more: Partial<Case> = {}): Case => ({
  name,
  rfc,
  client: get(),
  origin: [bytes],
  reached: got(),
  answers: [{ status: 502, code: 'upstream_invalid' }],
  pooled: 0,
  ...more,
});
