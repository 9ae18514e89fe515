/** What PostgreSQL, the network or TLS said of a source, as an error with a code and a way out. */
import { MillraceError } from "../base/errors.ts";
import type { SourceAddress } from "./connection.ts";
import { wayOut } from "./progress.ts";

const permissionStates = new Set(["28000", "28P01", "42501"]);
const networkCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
]);

/** What is asked of a source that must run for it. */
export function notStreaming(source: string): MillraceError {
  return new MillraceError("SOURCE_UNREACHABLE", `source "${source}" does not stream`, {
    hint: `This is done while the source runs: see millrace sources show ${source}.`,
    details: { source },
  });
}

export function notAnswering(source: string, waitedMs: number): MillraceError {
  return new MillraceError("SOURCE_UNREACHABLE", `source "${source}" did not answer within ${waitedMs} ms`, {
    hint: `See millrace sources show ${source}.`,
    details: { source },
  });
}

/** What PostgreSQL or the network said, as an error with a code. A `MillraceError` stays what it is. */
export function sourceError(cause: unknown, source: SourceAddress): MillraceError {
  if (MillraceError.is(cause)) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = codeOf(cause);
  const details = { source: source.name, ...(code === "" ? {} : { sqlState: code }) };
  const extra = { cause, details };
  if (/unsupported startup parameter.*replication/i.test(message)) {
    return new MillraceError("SOURCE_POOLER", `source "${source.name}" points at a connection pooler: ${message}`, {
      ...extra,
      hint: "Replication needs the address of the database itself.",
    });
  }
  if (isTlsFault(cause, code)) {
    return new MillraceError("SOURCE_TLS", `source "${source.name}": ${message}`, { ...extra, hint: tlsHint(code) });
  }
  if (code === "55006") {
    return new MillraceError("SOURCE_SLOT_IN_USE", `source "${source.name}": ${message}`, extra);
  }
  if (code === "53400") {
    return new MillraceError("SOURCE_NOT_PERMITTED", `source "${source.name}": ${message}`, {
      ...extra,
      hint: "Raise max_replication_slots and max_wal_senders, or drop slots that nobody reads: select slot_name from pg_replication_slots where not active.",
    });
  }
  if ((code === "55000" || code === "42704") && /replication slot/i.test(message)) {
    return new MillraceError("SOURCE_SLOT_LOST", `source "${source.name}": ${message}`, {
      ...extra,
      hint: wayOut(source.name, true),
    });
  }
  // A fault of logical decoding in PostgreSQL: the slot cannot go on, whoever reads from it.
  if (code === "XX000" && /could not map filen(ode|umber) /.test(message)) {
    return new MillraceError(
      "SOURCE_UNDECODABLE",
      `source "${source.name}": its server cannot decode its own log: ${message}`,
      { ...extra, hint: wayOut(source.name, false) },
    );
  }
  if (code === "3D000" || permissionStates.has(code)) {
    return new MillraceError("SOURCE_NOT_PERMITTED", `source "${source.name}": ${message}`, {
      ...extra,
      hint: permissionHint(source, message),
    });
  }
  const passes = networkCodes.has(code) || /^(08|53|57|58|40)/.test(code) || /^(Connection|timeout)/.test(message);
  if (passes) {
    return new MillraceError("SOURCE_UNREACHABLE", `source "${source.name}" does not answer: ${message}`, {
      ...extra,
      hint: "It is tried again by itself. Is the server running, and the address right?",
    });
  }
  return new MillraceError("SOURCE_FAILED", `source "${source.name}": ${message}`, extra);
}

function tlsHint(code: string): string {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return "The certificate is for another name: use the name in the url, or sslmode=verify-ca with the file of its authority.";
  }
  if (/^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code)) {
    return "Name the file of the authority that signed the server's certificate: sslrootcert=/path/ca.pem in the url. sslmode=require does without a proof of who the server is.";
  }
  return "sslmode in the url says what is asked for: disable, prefer, require, verify-ca or verify-full.";
}

function permissionHint(source: SourceAddress, message: string): string {
  let user = "the role";
  try {
    user = `"${decodeURIComponent(new URL(source.url).username)}"`;
  } catch {
    // The name is only for the hint.
  }
  if (/replication|wal sender/i.test(message)) {
    return `As a superuser: alter role ${user} replication; and pg_hba.conf must let it connect. On RDS: grant rds_replication to ${user}; on Cloud SQL and Azure: alter user ${user} with replication.`;
  }
  return "Check user, password and database in the url, and pg_hba.conf on the server.";
}

export function isTlsFault(error: unknown, code: string): boolean {
  const message = error instanceof Error ? error.message : "";
  return (
    /does not support SSL connections|establishing an SSL connection/.test(message) ||
    /^(ERR_TLS|ERR_SSL|ERR_OSSL|ERR_INVALID_ARG|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_|CRL_)/.test(
      code,
    )
  );
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
