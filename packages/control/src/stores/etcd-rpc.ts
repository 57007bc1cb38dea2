/** etcd's messages as TypeScript types, and its calls as paths with a coder each. */
import protobuf from 'protobufjs';
import { etcdProto } from './proto/etcd.proto.ts';

/** 64-bit numbers come as text: a lease's id does not fit a JavaScript number. */
type Int64 = string;

export interface Header {
  revision: Int64;
}

export interface KeyValue {
  key: Buffer;
  value: Buffer;
  mod_revision: Int64;
}

export interface RangeRequest {
  key: Buffer;
  range_end?: Buffer;
  limit?: number;
  revision?: number;
  sort_order?: 'DESCEND';
  sort_target?: 'MOD';
  keys_only?: boolean;
  count_only?: boolean;
}

export interface RangeResponse {
  header: Header;
  kvs: KeyValue[];
  more: boolean;
  count: Int64;
}

export type RequestOp =
  | { request_range: RangeRequest }
  | { request_put: { key: Buffer; value: Buffer; lease?: Int64 } }
  | { request_delete_range: { key: Buffer } };

export interface Compare {
  result: 'EQUAL' | 'GREATER';
  target: 'CREATE' | 'MOD' | 'LEASE';
  key: Buffer;
  create_revision?: Int64;
  mod_revision?: Int64;
  lease?: Int64;
}

export interface TxnRequest {
  compare?: Compare[];
  success: RequestOp[];
  failure?: RequestOp[];
}

export interface TxnResponse {
  header: Header;
  succeeded: boolean;
  responses: { response_range?: RangeResponse }[];
}

export interface WatchRequest {
  create_request: {
    key: Buffer;
    range_end: Buffer;
    start_revision: number;
    progress_notify: boolean;
    fragment: boolean;
  };
}

export interface WatchResponse {
  header: Header;
  created: boolean;
  canceled: boolean;
  compact_revision: Int64;
  cancel_reason: string;
  fragment: boolean;
  events: { type: 'PUT' | 'DELETE'; kv: KeyValue }[];
}

export interface LeaseGrantResponse {
  header: Header;
  ID: Int64;
  TTL: Int64;
  error: string;
}

export interface LeaseKeepAliveResponse {
  header: Header;
  ID: Int64;
  /** 0: there is no such lease any more. */
  TTL: Int64;
}

/** One call: where it goes, and how its messages are written and read. */
export interface Method<Request, Response> {
  path: string;
  encode(request: Request): Buffer;
  decode(bytes: Buffer): Response;
}

const root = protobuf.parse(etcdProto, { keepCase: true }).root;
setUp(root);

/** Makes the code that reads and writes each message now: with the first message it would hold the event loop for 10 ms. */
function setUp(space: protobuf.NamespaceBase): void {
  for (const nested of space.nestedArray) {
    if (nested instanceof protobuf.Type) nested.setup();
    if (nested instanceof protobuf.Namespace) setUp(nested);
  }
}

function method<Request extends object, Response>(service: string, name: string): Method<Request, Response> {
  const rpc = root.lookupService(`etcdserverpb.${service}`).methods[name]!;
  rpc.resolve();
  const request = rpc.resolvedRequestType!;
  const response = rpc.resolvedResponseType!;
  return {
    path: `/etcdserverpb.${service}/${name}`,
    encode: (message) => Buffer.from(request.encode(request.fromObject(message)).finish()),
    decode: (bytes) =>
      response.toObject(response.decode(bytes), {
        longs: String,
        enums: String,
        bytes: Buffer,
        defaults: true,
        arrays: true,
      }) as Response,
  };
}

export const methods = {
  range: method<RangeRequest, RangeResponse>('KV', 'Range'),
  txn: method<TxnRequest, TxnResponse>('KV', 'Txn'),
  watch: method<WatchRequest, WatchResponse>('Watch', 'Watch'),
  grant: method<{ TTL: number }, LeaseGrantResponse>('Lease', 'LeaseGrant'),
  revoke: method<{ ID: Int64 }, { header: Header }>('Lease', 'LeaseRevoke'),
  keepAlive: method<{ ID: Int64 }, LeaseKeepAliveResponse>('Lease', 'LeaseKeepAlive'),
  authenticate: method<{ name: string; password: string }, { token: string }>('Auth', 'Authenticate'),
};
