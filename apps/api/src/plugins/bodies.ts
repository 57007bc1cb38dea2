import type { Readable } from 'node:stream';
import { jsonSteps, type ReadText, readJsonSteps } from '@arcus/gateway/json_read.ts';
import { runSliced } from '@arcus/gateway/slices.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../http/problem.ts';
import { YamlReader } from '../http/yaml-reader.ts';

/** Longest YAML, bytes: it is read a hundred times slower than JSON. */
export const YAML_LIMIT = 1024 * 1024;

/** Bytes decoded at a time. */
const PIECE = 64 * 1024;

const yamlTypes = ['application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-yaml'];

/**
 * Bodies are JSON or YAML, read as `arcus validate` reads files, and without holding the event loop: JSON in small
 * steps, YAML in a thread. Everything else is 415.
 */
export function bodies(app: FastifyInstance): void {
  const yaml = new YamlReader();
  app.addHook('onClose', () => yaml.close());
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (request: FastifyRequest, payload: Readable) => {
    const parts = await collect(request, payload, request.routeOptions.bodyLimit);
    // No body is not a document: routes say what they make of that.
    if (parts.length === 0) return undefined;
    return understood(await runSliced(readJsonSteps(decoded(parts))));
  });
  app.addContentTypeParser(yamlTypes, async (request: FastifyRequest, payload: Readable) => {
    const limit = Math.min(YAML_LIMIT, request.routeOptions.bodyLimit);
    const hint = limit === YAML_LIMIT ? ': send it as JSON' : '';
    const text = [...decoded(await collect(request, payload, limit, hint))].join('');
    const read = await yaml.read(text);
    return understood('json' in read ? await runSliced(jsonSteps(read.json)) : read);
  });
}

/** All of a body, in the pieces that came; 413 beyond the limit, bytes. */
async function collect(request: FastifyRequest, payload: Readable, limit: number, hint = ''): Promise<Buffer[]> {
  const tooLarge = () => new Problem('too_large', `The body is longer than ${limit} bytes${hint}`);
  if (Number(request.headers['content-length']) > limit) throw tooLarge();
  const parts: Buffer[] = [];
  let length = 0;
  try {
    // A request that is left in the middle still gets its answer: its stream is not destroyed.
    for await (const part of payload.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > limit) break;
      parts.push(part);
    }
  } catch (cause) {
    throw new Problem('bad_request', 'The body did not come whole', { cause });
  }
  if (length > limit) throw tooLarge();
  return parts;
}

function* decoded(parts: readonly Buffer[]): Generator<string> {
  // A byte order mark is no part of the text.
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for (const part of parts) {
      for (let at = 0; at < part.length; at += PIECE)
        yield decoder.decode(part.subarray(at, at + PIECE), { stream: true });
    }
    yield decoder.decode();
  } catch (cause) {
    throw new Problem('bad_request', 'The body is not UTF-8', { cause });
  }
}

function understood({ value, faults }: ReadText): unknown {
  if (faults.length === 0) return value;
  const [first] = faults;
  const where = `line ${first!.line}, column ${first!.column}`;
  throw new Problem('bad_request', `The body cannot be read: ${first!.message} (${where})`, { faults });
}
