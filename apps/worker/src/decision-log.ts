/**
 * One JSON line per decision. It runs for each request, so the line is put together by hand instead of by a generic
 * serialiser, and the disk is never waited for: lines are buffered, and dropped and counted when the disk falls behind.
 */
import type { Decision } from '@arcus/gateway/session.ts';
import pino from 'pino';

/** What decision lines are written to; `write` answers false when it is full. */
export interface LineSink {
  write(line: string): unknown;
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

/** Anything that could end a line, close a string or drive a terminal. Lone surrogates are JSON.stringify's to escape. */
const unsafe = /["\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/;
const unsafeLeft = /[\u007f-\u009f\u2028\u2029]/g;

/** `text` as a JSON string that is one line in every reader. */
export function quote(text: string): string {
  if (!unsafe.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(unsafeLeft, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The line, newline included. Names of config objects are plain by their schema; all else is quoted with care. */
export function formatDecision(d: Decision): string {
  return `{"time":${d.time},"tenant":"${d.tenant}","version":${d.version},"server":"${d.server}","user":${quote(d.user)},"client":"${d.client}","method":${quote(d.method)},"target":${quote(d.target)},"path":${quote(d.path)},"escaper":"${d.escaper}","peer":"${d.peer}","action":"${d.action}","code":"${d.code}","rule":${quote(d.rule)},"reason":${quote(d.reason)},"status":${d.status},"bytes_in":${d.bytes_in},"bytes_out":${d.bytes_out},"ms":${Math.round(d.ms * 1000) / 1000},"protocol":${quote(d.protocol)}}\n`;
}

/**
 * A buffered destination for lines: a path, or a file descriptor (1 is stdout). `shared`: a pipe that other processes
 * write to as well, so no write may be larger than what a pipe takes in one piece (PIPE_BUF).
 */
export function lineDestination(dest: string | number, shared: boolean) {
  return pino.destination({
    dest,
    sync: false,
    mkdir: typeof dest === 'string',
    // So much before a write is begun (what gathers meanwhile leaves in one), or what there is every quarter of a second.
    minLength: shared ? 2 * 1024 : 16 * 1024,
    maxWrite: shared ? 4 * 1024 : 256 * 1024,
    periodicFlush: 250,
    // What a slow disk may cost in memory; beyond it lines are dropped.
    maxLength: 16 * 1024 * 1024,
  });
}

export function openDecisionLog(sink: LineSink | null, onError: (error: Error) => void): DecisionLog {
  if (sink === null) return { record: () => {}, dropped: 0, close: () => {} };
  let dropped = 0;
  let failed = false;
  sink.on('drop', () => dropped++);
  sink.on('error', (error: Error) => {
    // A full disk says so once, not once a line.
    if (!failed) onError(error);
    failed = true;
  });
  return {
    record: (decision) => {
      try {
        sink.write(formatDecision(decision));
      } catch {
        dropped++;
      }
    },
    get dropped() {
      return dropped;
    },
    close: () => {
      try {
        sink.flushSync();
      } catch {
        // Not opened yet or broken: its error event has told.
      }
      sink.end();
    },
  };
}
