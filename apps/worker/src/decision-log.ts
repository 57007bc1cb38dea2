/**
 * One JSON line per decision. It runs for each request, so the line is put together by hand instead of by a generic
 * serialiser, and the disk is never waited for: lines are buffered, and dropped and counted when the disk falls behind.
 */
import type { Decision } from '@arcus/gateway/session.ts';
import pino from 'pino';

/** What parts of whole lines are written to; a part that finds it full is dropped and told by a `drop` event. */
export interface LineSink {
  write(part: any): unknown;
  flushSync(): void;
  end(): void;
  on(event: 'drop' | 'error' | 'close', listener: (data?: any) => void): unknown;
}

export interface DecisionLog {
  /** Never blocks, never throws. */
  readonly record: (decision: Decision) => void;
  /** Lines lost because the destination was too slow or failed, since start. */
  readonly dropped: number;
  /** Writes what is buffered now. */
  close(): void;
}

/** All that could end a line, close a string or drive a terminal; and all but ASCII, so that a line's bytes are its characters. */
const unsafe = /[^ !#-[\]-~]/;
const unsafeLeft = /[\u007f-\uffff]/g;

/** `text` as a JSON string that is one line in every reader, ASCII only. */
export function quote(text: string): string {
  if (text === '') return '""';
  if (!unsafe.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(unsafeLeft, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** What a session has in common with many others: who, where, which way, how decided. */
function formatFixed(d: Decision): string {
  return `,"tenant":"${d.tenant}","version":${d.version},"server":"${d.server}","user":${quote(d.user)},"client":"${d.client}","method":${quote(d.method)},"target":${quote(d.target)},"escaper":"${d.escaper}","peer":"${d.peer}","action":"${d.action}","code":"${d.code}","rule":${quote(d.rule)},"reason":${quote(d.reason)},"status":${d.status},"protocol":${quote(d.protocol)}`;
}

let last: Decision | null = null;
let lastFixed = '';

/** The line, newline included, ASCII. Names of config objects are plain by their schema; all else is quoted with care. */
export function formatDecision(d: Decision): string {
  // One request after another of the same client to the same site differ in little: the rest is not made again.
  if (
    last === null ||
    d.target !== last.target ||
    d.client !== last.client ||
    d.user !== last.user ||
    d.status !== last.status ||
    d.method !== last.method ||
    d.peer !== last.peer ||
    d.code !== last.code ||
    d.rule !== last.rule ||
    d.reason !== last.reason ||
    d.tenant !== last.tenant ||
    d.version !== last.version ||
    d.server !== last.server ||
    d.escaper !== last.escaper ||
    d.action !== last.action ||
    d.protocol !== last.protocol
  ) {
    lastFixed = formatFixed(d);
    last = d;
  }
  return `{"time":${d.time}${lastFixed},"path":${quote(d.path)},"bytes_in":${d.bytes_in},"bytes_out":${d.bytes_out},"ms":${Math.round(d.ms * 1000) / 1000}}\n`;
}

/** So many bytes of lines gather before they go to the destination; or what there is every quarter of a second. */
const GATHER = 32 * 1024;
/** What a pipe takes in one piece (PIPE_BUF): lines of several processes do not mix then. */
const PIPE = 4096;
const FLUSH_MS = 250;

/** A buffered destination for parts made of whole lines: a path, or a file descriptor (1 is stdout). */
export function lineDestination(dest: string | number, shared: boolean) {
  return pino.destination({
    dest,
    sync: false,
    contentMode: 'buffer',
    mkdir: typeof dest === 'string',
    minLength: 0,
    maxWrite: shared ? PIPE : 256 * 1024,
    // What a slow disk may cost in memory; beyond it lines are dropped.
    maxLength: 16 * 1024 * 1024,
  } as Parameters<typeof pino.destination>[0]) as ReturnType<typeof pino.destination> & LineSink;
}

/** `shared`: other processes write to the same pipe, so no part may be larger than a pipe takes in one piece. */
export function openDecisionLog(sink: LineSink | null, onError: (error: Error) => void, shared = false): DecisionLog {
  if (sink === null) return { record: () => {}, dropped: 0, close: () => {} };
  const size = shared ? PIPE : GATHER;
  // Bytes, not one long string: a string of many pieces is dear to turn into bytes.
  const gathered = Buffer.allocUnsafeSlow(size);
  let used = 0;
  let dropped = 0;
  let failed = false;
  sink.on('drop', (part: Buffer) => {
    for (let at = part.indexOf(10); at >= 0; at = part.indexOf(10, at + 1)) dropped++;
  });
  sink.on('error', (error: Error) => {
    // A full disk says so once, not once a line.
    if (!failed) onError(error);
    failed = true;
  });
  const flush = () => {
    if (used === 0) return;
    const part = Buffer.from(gathered.subarray(0, used));
    used = 0;
    put(part);
  };
  const put = (part: Buffer) => {
    try {
      sink.write(part);
    } catch {
      dropped++;
    }
  };
  const timer = setInterval(flush, FLUSH_MS);
  timer.unref();
  return {
    record: (decision) => {
      const line = formatDecision(decision);
      if (used + line.length > size) flush();
      if (line.length > size) put(Buffer.from(line, 'latin1'));
      else used += gathered.write(line, used, 'latin1');
    },
    get dropped() {
      return dropped;
    },
    close: () => {
      clearInterval(timer);
      flush();
      try {
        sink.flushSync();
      } catch {
        // Not opened yet or broken: its error event has told.
      }
      sink.end();
    },
  };
}
