import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from './problem.ts';

/** What tells two states of a thing apart: a revision, or a word without quotes. */
export type Tag = number | string;

/** The strong entity tag (RFC 9110 section 8.8.3) of what has this revision. */
export const etagOf = (revision: Tag): string => `"${revision}"`;

/** Says the ETag, and answers whether the client has it already (If-None-Match): then 304 is sent. */
export function notModified(request: FastifyRequest, reply: FastifyReply, revision: Tag): boolean {
  const etag = etagOf(revision);
  reply.header('etag', etag);
  const known = request.headers['if-none-match'];
  if (known === undefined || !(known.trim() === '*' || tagsOf(known).some((tag) => tag.replace(/^W\//, '') === etag))) {
    return false;
  }
  reply.code(304).send();
  return true;
}

/** What a write demands of the state it finds. */
export interface Precondition {
  ifMatch: string | undefined;
  ifNoneMatch: string | undefined;
}

export const preconditionOf = (request: FastifyRequest): Precondition => ({
  ifMatch: request.headers['if-match'],
  ifNoneMatch: request.headers['if-none-match'],
});

/**
 * Holds a write against the revision that exists (null: nothing does). Changing what exists needs If-Match: 428
 * without, 412 when it names another revision. `If-None-Match: *` asks that nothing exists.
 */
export function demand(precondition: Precondition, revision: Tag | null): void {
  const { ifMatch, ifNoneMatch } = precondition;
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() === '*' && revision !== null) {
    throw new Problem('precondition_failed', 'It exists, and If-None-Match asked that it does not');
  }
  if (ifMatch === undefined) {
    if (revision === null || ifNoneMatch?.trim() === '*') return;
    throw new Problem('precondition_required', 'Send If-Match with the ETag that GET answered, or * for any');
  }
  if (revision === null) throw new Problem('precondition_failed', 'It does not exist, and If-Match asked that it does');
  // Strong comparison: a weak tag never matches (RFC 9110 section 13.1.1).
  if (ifMatch.trim() === '*' || tagsOf(ifMatch).includes(etagOf(revision))) return;
  throw new Problem('precondition_failed', 'It was changed since: get it again, and send If-Match with its new ETag', {
    extra: { etag: etagOf(revision) },
  });
}

const tagsOf = (header: string): string[] => header.match(/(?:W\/)?"[^"]*"/g) ?? [];
