/** Of sources. */
import type { ErrorCodeEntry } from "./entry.ts";

export const sourceCodes = {
  OUTBOX_CLIENT_UNKNOWN: {
    http: 400,
    exit: 2,
    action: "fix-request",
    about: "What was handed in as `via` is no transaction of a PostgreSQL client that is known.",
  },
  SOURCE_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "There is no source of this name." },
  TABLE_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "The source captures no table of this name." },
  SOURCE_UNREACHABLE: {
    http: 503,
    exit: 4,
    action: "wait",
    about: "The source's database does not answer; it is tried again with growing pauses.",
  },
  SOURCE_NOT_PERMITTED: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "The role cannot replicate or read; the hint has the SQL.",
  },
  SOURCE_WAL_LEVEL: { http: 503, exit: 3, action: "fix-setup", about: "The source must run with wal_level = logical." },
  SOURCE_VERSION_UNSUPPORTED: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "PostgreSQL 14 or later can be captured.",
  },
  SOURCE_TABLE_UNKNOWN: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "A declared table does not exist, or is no ordinary table.",
  },
  SOURCE_TABLE_WITHOUT_KEY: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "A table has no primary key and no replica identity full, and is not declared appendOnly.",
  },
  SOURCE_FILTER_REFUSED: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "The columns or the condition that a captured table is declared with cannot be captured rightly.",
  },
  SOURCE_TOPIC_COLLISION: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "Two tables would be written to one topic.",
  },
  SOURCE_POOLER: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "The source's address is a connection pooler's; replication needs the server's own.",
  },
  SOURCE_SLOT_LOST: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The replication slot is gone, or was invalidated.",
  },
  SOURCE_UNDECODABLE: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The source's server cannot decode its own log from where the replication slot stands.",
  },
  SOURCE_SLOT_AHEAD: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The slot was confirmed past what the log has.",
  },
  SOURCE_SLOT_FOREIGN: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "A slot of this name is there, and is not ours: another kind, plugin or database.",
  },
  SOURCE_SLOT_IN_USE: { http: 503, exit: 4, action: "wait", about: "Another connection reads from the slot." },
  SOURCE_REPLACED: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The address leads to another database server than before.",
  },
  SOURCE_RESTORED: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The source's server stands at an earlier place than was captured: it was set back, by a backup for one.",
  },
  SOURCE_DIVERGED: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "After a failover or a recovery the source's server lacks changes that were captured.",
  },
  SOURCE_STANDBY_BEHIND: {
    http: 503,
    exit: 4,
    action: "wait",
    about: "The standby has not replayed as far as was captured; it is tried again.",
  },
  SOURCE_SILENT: {
    http: 503,
    exit: 4,
    action: "wait",
    about: "The source's connection said nothing for longer than the server may; it is made anew.",
  },
  SOURCE_WAL_FULL: {
    http: 503,
    exit: 4,
    action: "call-operator",
    about: "The slot holds more of the server's log than walHeldBytesMax, and the source has paused.",
  },
  SOURCE_SCHEMA_UNREGISTERED: {
    http: 503,
    exit: 4,
    action: "wait",
    about:
      "The schemas of a captured table could not be registered, which its records name; it is tried again by itself.",
  },
  SOURCE_TLS: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "The source's address asks for TLS that the server does not offer, or cannot prove.",
  },
  SOURCE_FAILED: {
    http: 503,
    exit: 1,
    action: "call-operator",
    about: "The source stopped with an error that does not pass by itself.",
  },
  HOOK_SIGNATURE_INVALID: {
    http: 401,
    exit: 1,
    action: "fix-setup",
    about: "A webhook's signature, token or timestamp is not right; the message says which. It was not kept.",
  },
  HOOK_QUOTA_EXCEEDED: {
    http: 429,
    exit: 4,
    action: "wait",
    about: "A source of webhooks gets more calls than its definition takes; Retry-After says when to send it again.",
  },
  HOOK_BUSY: {
    http: 503,
    exit: 4,
    action: "wait",
    about: "More webhooks are on their way to the log than may be held; it was not kept and can be sent again.",
  },
  RECONCILE_FAILED: {
    http: 503,
    exit: 4,
    action: "wait",
    about:
      "The vendor's list did not answer, or answered what cannot be used; the message says which. It is asked again by itself.",
  },
  RECONCILE_UNDEFINED: {
    http: 409,
    exit: 3,
    action: "fix-setup",
    about: "The source's definition does not say how the vendor is asked for what its webhooks missed.",
  },
  UNIT_MOVING: {
    http: 503,
    exit: 4,
    action: "retry",
    about: "Whoever decides about this is reading what was decided before; it answers in a moment.",
  },
} as const satisfies Readonly<Record<string, ErrorCodeEntry>>;
