import type { ErrorCode } from './errors.ts';
import type { Target } from './kind.ts';

/** What kinds may know of the session that goes through the pipeline. */
export interface Session {
  readonly tenant: string;
  readonly version: number;
  readonly server: string;
  /** The client's IP address, IPv4-mapped IPv6 written as IPv4. */
  readonly client: string;
  readonly purpose: 'forward' | 'tunnel';
  readonly method: string;
  readonly target: Target;
  /** Path and query of a forward request, '' for a tunnel. */
  readonly path: string;
  /** '' while unknown or when the server asks for none. */
  user: string;
  user_group: string;
  /** ms since the epoch. */
  readonly started: number;
}

/** One line of the decision log: what was asked, what was decided and by which rule, what it cost. */
export interface Decision {
  readonly time: number;
  readonly tenant: string;
  readonly version: number;
  readonly server: string;
  readonly user: string;
  readonly client: string;
  readonly method: string;
  /** host:port */
  readonly target: string;
  /** Path without its query: queries carry secrets. */
  readonly path: string;
  readonly escaper: string;
  readonly peer: string;
  readonly action: 'allow' | 'block' | 'redirect' | 'error';
  readonly code: ErrorCode | '';
  /** `<policy>: <rule>` that decided, '' when none did. */
  readonly rule: string;
  readonly reason: string;
  /** HTTP status that the client got, 0 when none was sent. */
  readonly status: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly ms: number;
  /** What an auditor saw in a tunnel, '' otherwise. */
  readonly protocol: string;
}
