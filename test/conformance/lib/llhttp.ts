/** Node's own HTTP/1 parser (llhttp, strict), in process. */

interface Parser {
  [event: number]: unknown;
  initialize(type: number, resource: object, maxHeaderSize: number, lenient: number): void;
  execute(bytes: Uint8Array): number | Error;
  finish(): undefined | Error;
  close(): void;
}
const { HTTPParser } = process.getBuiltinModule('node:_http_common') as unknown as {
  HTTPParser: {
    new (): Parser;
    REQUEST: number;
    RESPONSE: number;
    kOnHeaders: number;
    kOnHeadersComplete: number;
    kOnBody: number;
    kOnMessageComplete: number;
  };
};

export interface Reading {
  /** Messages that were read to their end. */
  complete: number;
  /** Body of the first one. */
  body: Buffer;
  /** Why it was refused, '' when it was not. */
  error: string;
  /** Was it whole only when the connection ended? */
  atEnd: boolean;
}

/** What llhttp makes of `bytes`; `bodiless`: it is the answer to HEAD. */
export function readByNode(kind: 'request' | 'response', bytes: Buffer, bodiless = false, end = false): Reading {
  const parser = new HTTPParser();
  parser.initialize(HTTPParser[kind === 'request' ? 'REQUEST' : 'RESPONSE'], {}, 1 << 20, 0);
  const reading: Reading = { complete: 0, body: Buffer.alloc(0), error: '', atEnd: false };
  const parts: Buffer[] = [];
  parser[HTTPParser.kOnHeaders] = () => {};
  parser[HTTPParser.kOnHeadersComplete] = () => (bodiless ? 1 : 0);
  parser[HTTPParser.kOnBody] = (part: Buffer) => {
    if (reading.complete === 0) parts.push(Buffer.from(part));
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    reading.complete++;
  };
  const result = parser.execute(bytes);
  if (result instanceof Error) reading.error = (result as NodeJS.ErrnoException).code ?? result.message;
  else if (end) {
    const before = reading.complete;
    const last = parser.finish();
    if (last instanceof Error) reading.error = (last as NodeJS.ErrnoException).code ?? last.message;
    reading.atEnd = reading.complete > before;
  }
  parser.close();
  reading.body = Buffer.concat(parts);
  return reading;
}
