import { z } from 'zod';

const ms = (standard: number, description: string) =>
  z.int().min(100).max(86_400_000).default(standard).describe(`${description}, ms`);

/** Limits of a server that speaks HTTP/1. Each is enforced; each has a default. */
export const httpLimits = z
  .strictObject({
    request_line_bytes: z.int().min(256).max(65_536).default(8192).describe('Longest request line, bytes (414)'),
    header_bytes: z
      .int()
      .min(1024)
      .max(1_048_576)
      .default(65_536)
      .describe('Longest message head, bytes (431; 502 for an answer)'),
    header_fields: z
      .int()
      .min(8)
      .max(2000)
      .default(128)
      .describe('Most header lines in a head (431; 502 for an answer)'),
    first_byte_ms: ms(30_000, 'Until the first byte of a new connection'),
    head_ms: ms(15_000, 'From the first to the last byte of a request head (408)'),
    keepalive_idle_ms: ms(60_000, 'Idle between two requests of a connection'),
    body_idle_ms: ms(60_000, 'Without a byte while a body is on its way (408); one that is taken slowly moves'),
    response_head_ms: ms(60_000, 'Until the head of the answer (504)'),
    tunnel_idle_ms: ms(600_000, 'Without a byte either way in a tunnel'),
    body_bytes: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .default(1_099_511_627_776)
      .describe('Largest request body, bytes (413)'),
    requests_per_connection: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .default(1_000_000)
      .describe('Requests on one connection; then it is closed'),
    sessions_per_client: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe(
        'Connections of one client at once (429): of an IPv4 address, or of all addresses of an IPv6 /64. The processes ' +
          'of a worker count together without waiting for each other: a client may get up to a tenth more, and what it ' +
          'opens within some 50 ms. Each worker counts for itself',
      ),
  })
  .prefault({})
  .describe('Limits of this server');
export type HttpLimits = z.output<typeof httpLimits>;

/** What a server does with X-Forwarded-For and Forwarded. */
export const forwardedFor = z
  .enum(['remove', 'append', 'replace'])
  .default('remove')
  .describe(
    'X-Forwarded-For and Forwarded towards the site: remove them, append the client to them, or replace them by the client',
  );
export type ForwardedFor = z.output<typeof forwardedFor>;

export const hostMismatch = z
  .enum(['rewrite', 'refuse'])
  .default('rewrite')
  .describe('When Host names another site than the request target: rewrite it, or refuse with 400');
export type HostMismatch = z.output<typeof hostMismatch>;

/** `name` or `name/version`, tokens: RFC 9110 section 7.8. */
const PROTOCOL = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?$/;

export const upgrades = z
  .array(
    z
      .string()
      .max(64)
      .regex(PROTOCOL, 'must be the name of a protocol, such as websocket')
      // Requests inside would meet no policy, no log and no Via.
      .refine(
        (name) => !/^(?:h2c?|http)(?:\/|$)/i.test(name),
        'a switch to another version of HTTP is never passed on',
      ),
  )
  .max(32)
  .default(['websocket'])
  .describe(
    'Protocols that a forward request may switch to by Upgrade; the request goes on without Upgrade when it names no other',
  );
