/**
 * `shop.token(client)`: after a commit in one's own database, what a read has to be asked for to see it. It names the
 * server's position of now, the server and its timeline, so that a token of another server is told from ours.
 */
import { MillraceError } from "../../base/errors.ts";
import { encodeSourceToken } from "../source-token.ts";
import { runSql, type SqlClient } from "./outbox.ts";

/** With asynchronous commit the flushed position may lie below the commit: the inserted one never does. */
const positionSql = `select p.lsn::text as lsn, s.system_identifier::text as system, left(pg_walfile_name(p.lsn), 8) as timeline
  from (select pg_current_wal_insert_lsn() as lsn) p, pg_control_system() s`;

/**
 * To be called after the commit, over any connection to the server. A pool will do. Throws `OUTBOX_CLIENT_UNKNOWN`,
 * `SOURCE_FAILED` for an answer that is none, and what the client throws.
 */
export async function sourceToken(source: string, client: SqlClient): Promise<string> {
  const [row] = await runSql(client, positionSql);
  const { lsn, system, timeline } = row ?? {};
  if (typeof lsn !== "string" || typeof system !== "string" || typeof timeline !== "string") {
    throw new MillraceError("SOURCE_FAILED", `the client did not answer the position of source "${source}"`, {
      hint: "Is it a connection to the source's PostgreSQL server?",
    });
  }
  return encodeSourceToken({ source, lsn, server: { systemId: system, timeline: Number.parseInt(timeline, 16) } });
}
