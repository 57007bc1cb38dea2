/** One JSON line per decision. The disk is never waited for: lines are buffered, and dropped and counted when it falls behind. */
import type { Decision } from '@arcus/gateway/session.ts';
import pino from 'pino';
import { writeDecision } from './decision-line.ts';

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
  /** Writes what is buffered now: soon it is `closed`. */
  close(): void;
  /** After `close`: nothing is left to write, or nothing can be written. */
  readonly closed: boolean;
}

/**
 * So many bytes of lines gather before they go to the destination; or what there is every quarter of a second. Each part
 * takes a thread there and back, which costs about as much as a hundred lines.
 */
const GATHER = 128 * 1024;
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
  if (sink === null) return { record: () => {}, dropped: 0, close: () => {}, closed: true };
  const size = shared ? PIPE : GATHER;
  let gathered = Buffer.allocUnsafeSlow(size);
  let used = 0;
  let dropped = 0;
  let failed = false;
  let closed = false;
  sink.on('close', () => {
    closed = true;
  });
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
    let part = gathered.subarray(0, used);
    // A part that is nearly full goes as it is; a small one must not hold a large buffer while the disk is slow.
    if (used > size / 2) gathered = Buffer.allocUnsafeSlow(size);
    else part = Buffer.from(part);
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
      let end = writeDecision(decision, gathered, used);
      if (end < 0) {
        flush();
        end = writeDecision(decision, gathered, 0);
      }
      if (end >= 0) {
        used = end;
        return;
      }
      // Longer than a part: a part of its own.
      const line = Buffer.allocUnsafe(size - end);
      put(line.subarray(0, writeDecision(decision, line, 0)));
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
    get closed() {
      return closed || failed;
    },
  };
}
