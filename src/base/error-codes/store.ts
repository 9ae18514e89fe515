/** Of the store. */
import type { ErrorCodeEntry } from "./entry.ts";

export const storeCodes = {
  STORE_UNAVAILABLE: {
    http: 503,
    exit: 4,
    action: "wait",
    about: "PostgreSQL, where the views live, does not answer.",
  },
  STORE_START_FAILED: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The embedded PostgreSQL did not start; the message has its last words.",
  },
  STORE_BINARIES_MISSING: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "There are no PostgreSQL binaries for this machine.",
  },
  STORE_TOO_OLD: { http: 500, exit: 3, action: "fix-setup", about: "The store must be PostgreSQL 18 or later." },
  STORE_DATA_OTHER_VERSION: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "The store's folder was made by another major version of PostgreSQL.",
  },
  STORE_DISK_FULL: { http: 507, exit: 3, action: "fix-setup", about: "There is no space for the store." },
  STORE_NOT_PERMITTED: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "The store's role lacks a right; the hint has the SQL.",
  },
  STORE_UNSUITABLE: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "The store's database cannot hold views: a standby, an encoding other than UTF8, or a pooler in between.",
  },
  STORE_EXTENSION_MISSING: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "A view needs an extension of PostgreSQL that the store does not have; the hint has the SQL.",
  },
  STORE_AHEAD_OF_LOG: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The store has seen more of the log than there is.",
  },
  STORE_OF_ANOTHER_LOG: { http: 503, exit: 3, action: "call-operator", about: "The store was built from another log." },
  STORE_OF_ANOTHER_GROUP: {
    http: 503,
    exit: 3,
    action: "fix-setup",
    about: "The database that a group of views was given is another group's.",
  },
  QUERY_INVALID: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "PostgreSQL refuses the query; the message is its own.",
  },
  QUERY_TIMEOUT: { http: 503, exit: 4, action: "retry", about: "The query ran longer than allowed." },
} as const satisfies Readonly<Record<string, ErrorCodeEntry>>;
