/** A token of a source: a position in its database server's log, and which server that is. */
import { type TokenReader, TokenWriter } from "../base/token-bytes.ts";

export interface ServerIdentity {
  /** PostgreSQL's system identifier, as it prints it. */
  readonly systemId: string;
  readonly timeline: number;
}

export interface SourcePlace {
  readonly source: string;
  /** As the source prints it: `0/16B3748`. */
  readonly lsn: string;
  /** Absent in a token that names a position only. */
  readonly server?: ServerIdentity | null;
}

/** Kinds of a token, in its second byte. */
export const sourceTokenKinds = { position: 3, place: 4 } as const;

export function encodeSourceToken({ source, lsn, server }: SourcePlace): string {
  const writer = new TokenWriter(server ? sourceTokenKinds.place : sourceTokenKinds.position);
  writer.text(source).text(lsn);
  if (server) writer.text(server.systemId).number(server.timeline);
  return writer.print();
}

/** What stands behind the kind. */
export function readSourceToken(kind: number, reader: TokenReader): SourcePlace {
  const source = reader.text();
  const lsn = reader.text();
  if (kind === sourceTokenKinds.position) return { source, lsn };
  return { source, lsn, server: { systemId: reader.text(), timeline: reader.number() } };
}

/** Why a read that is asked to wait for the token must refuse it; null when it can wait. `server` is what is captured. */
export function foreignToken(token: SourcePlace, server: ServerIdentity | null): string | null {
  if (!token.server || server === null) return null;
  if (token.server.systemId !== server.systemId) {
    return `the token is of server ${token.server.systemId.slice(0, 40)}, and source "${token.source}" of server ${server.systemId}`;
  }
  // A later timeline is one that capture is about to follow.
  if (token.server.timeline < server.timeline) {
    return `the token is from before a failover of source "${token.source}": what it names may not be there any more`;
  }
  return null;
}
