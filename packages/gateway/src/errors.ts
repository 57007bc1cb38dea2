/**
 * What can go wrong with a session, as data: one table maps a code to what a client sees. Match on the code,
 * never on a message.
 */
export interface ErrorSpec {
  /** HTTP status of the answer (RFC 9110 section 15). */
  status: number;
  /** Whose doing it is. */
  source: 'client' | 'policy' | 'upstream' | 'internal';
  /** May the same session succeed if simply tried again? */
  retryable: boolean;
  /** One sentence for the page that the user sees. */
  title: string;
}

const spec = (status: number, source: ErrorSpec['source'], retryable: boolean, title: string): ErrorSpec => ({
  status,
  source,
  retryable,
  title,
});

export const errorTable = {
  // the client's message
  bad_request: spec(400, 'client', false, 'The request is not valid HTTP.'),
  not_a_proxy_request: spec(400, 'client', false, 'This is a proxy: the request must name an absolute URL.'),
  host_mismatch: spec(400, 'client', false, 'Host and request target name different sites.'),
  request_timeout: spec(408, 'client', true, 'The request did not arrive in time.'),
  body_too_large: spec(413, 'client', false, 'The request body is larger than this proxy allows.'),
  uri_too_long: spec(414, 'client', false, 'The request target is longer than this proxy allows.'),
  headers_too_large: spec(431, 'client', false, 'The request header is larger than this proxy allows.'),
  not_implemented: spec(501, 'client', false, 'This proxy does not offer that method, scheme or coding.'),
  version_not_supported: spec(505, 'client', false, 'This HTTP version is not supported.'),
  loop_detected: spec(508, 'client', false, 'The request came back to this proxy.'),
  client_closed: spec(499, 'client', false, 'The client closed the connection.'),
  client_stalled: spec(408, 'client', true, 'The client stopped reading the answer.'),
  too_many_sessions: spec(429, 'client', true, 'Too many sessions at once.'),
  // who and whether
  auth_required: spec(407, 'client', false, 'This proxy needs a user name and password.'),
  auth_failed: spec(407, 'client', false, 'The user name or password is wrong.'),
  user_blocked: spec(403, 'policy', false, 'This user is blocked.'),
  rate_limited: spec(429, 'policy', true, 'Too many requests in a short time.'),
  policy_blocked: spec(403, 'policy', false, 'This site is blocked by policy.'),
  policy_redirect: spec(302, 'policy', false, 'This site is redirected by policy.'),
  port_denied: spec(403, 'policy', false, 'This port is not allowed.'),
  escaper_denied: spec(403, 'policy', false, 'No way out is allowed for this site.'),
  egress_denied: spec(403, 'policy', false, 'The address of this site may not be reached from here.'),
  protocol_denied: spec(403, 'policy', false, 'This protocol is not allowed in a tunnel.'),
  tenant_suspended: spec(403, 'policy', false, 'This tenant is suspended.'),
  // the way out
  dns_failed: spec(502, 'upstream', true, 'The name of the site could not be resolved.'),
  connect_failed: spec(502, 'upstream', true, 'The site could not be reached.'),
  upstream_refused: spec(502, 'upstream', false, 'The next hop refused the request.'),
  upstream_closed: spec(502, 'upstream', true, 'The site closed the connection before it answered.'),
  upstream_invalid: spec(502, 'upstream', false, 'The answer of the site is not valid HTTP.'),
  connect_timeout: spec(504, 'upstream', true, 'The site did not accept the connection in time.'),
  response_timeout: spec(504, 'upstream', true, 'The site did not answer in time.'),
  // ourselves
  unavailable: spec(503, 'internal', true, 'This proxy cannot serve the request now.'),
  internal: spec(500, 'internal', false, 'This proxy failed.'),
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof errorTable;

/** A session's failure. `detail` is for the log, and for the client only where it names nothing of another tenant. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;
  constructor(code: ErrorCode, detail = '', options?: { cause?: unknown }) {
    super(detail || errorTable[code].title, options);
    this.name = 'GatewayError';
    this.code = code;
    this.detail = detail;
  }
  /** What was thrown, as a failure of a session. */
  static of(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error;
    return new GatewayError('internal', String((error as Error)?.message ?? error), { cause: error });
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}
