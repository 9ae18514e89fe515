/** Of definitions, and of views and their reading. */
import type { ErrorCodeEntry } from "./entry.ts";

export const viewCodes = {
  MODULE_UNREADABLE: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "The definition module cannot be read, stripped of types, or throws; the message has file and line.",
  },
  DEFINITION_INVALID: { http: 400, exit: 2, action: "fix-setup", about: "A definition's name or option is wrong." },
  DEFINITION_DUPLICATE: { http: 400, exit: 2, action: "fix-setup", about: "Two definitions have one name." },
  VIEW_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "There is no view of this name." },
  VIEW_SQL_INVALID: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "PostgreSQL's parser refuses the view's SQL; the caret shows where.",
  },
  VIEW_UNKNOWN_TABLE: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view reads a table that no source captures.",
  },
  VIEW_UNKNOWN_COLUMN: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view reads a column that its table does not have.",
  },
  VIEW_COLUMN_AMBIGUOUS: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "A column name fits more than one table of the view.",
  },
  VIEW_KEY_INVALID: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view's key names columns that it does not have.",
  },
  VIEW_KEY_NOT_UNIQUE: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view's key does not follow from primary keys and group keys.",
  },
  VIEW_KEY_MISSING: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "The view has no key, so no row of it can be named: its rows are read with filters.",
  },
  VIEW_WINDOW_INVALID: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view's window does not end by the time of one topic's events; the hint says what would help.",
  },
  VIEW_UNSUPPORTED: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view uses SQL that cannot be kept up to date yet; the hint says what would help.",
  },
  VIEW_OPTION_INVALID: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view's options name columns or views that there are not, or that cannot be used so.",
  },
  VIEW_OPTION_MISSING: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "The read searches in a way that the view's definition has no option for; the hint names the option.",
  },
  VIEW_POLICY_INVALID: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view's policy is no condition over its columns and a caller's claims; the caret shows where.",
  },
  VIEW_POLICY_MISSING: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view reads one that has a policy, and says neither its own nor that it has none.",
  },
  CALLER_UNKNOWN: {
    http: 401,
    exit: 3,
    action: "fix-request",
    about: "The view shows each caller other rows, and the request does not say by a token whose they are.",
  },
  CALLER_TOKEN_INVALID: {
    http: 401,
    exit: 3,
    action: "fix-request",
    about: "The caller's token is not signed as it is to be, is for somebody else, or holds no longer.",
  },
  CALLER_TOKEN_EXPIRED: {
    http: 401,
    exit: 3,
    action: "fix-request",
    about:
      "A live feed has ended because the caller's token does not hold any longer; a new one goes on from the last id.",
  },
  CALLER_REFUSED: {
    http: 403,
    exit: 3,
    action: "fix-request",
    about: "A caller's token lets nobody do this: it is for rows of views that have a policy.",
  },
  NODE_INVALID: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "What a graph is asked about cannot be a node of it: its columns have another type.",
  },
  WEIGHT_NEGATIVE: {
    http: 409,
    exit: 1,
    action: "fix-request",
    about: "A cheapest path was asked for, and an edge has a negative weight; a filter can leave such edges out.",
  },
  VIEW_GROUP_UNKNOWN: { http: 404, exit: 2, action: "fix-request", about: "There is no group of views of this name." },
  VIEW_OF_ANOTHER_GROUP: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "A view reads or refers to a view of another group: what that one has, it can read by a topic.",
  },
  READ_ACROSS_GROUPS: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "Reads that want one snapshot are of views of several groups, which have none together.",
  },
  HISTORY_BEGINS_LATER: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about:
      "A view was to be read as of a moment that its history does not reach back to; details say since when it is there.",
  },
  VIEW_CYCLE: { http: 400, exit: 2, action: "fix-setup", about: "Views read each other in a circle." },
  VIEW_TOPIC_RETENTION: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about:
      "The view reads a topic whose records the log lets go, takes not only what is younger, and does not say that the store may be their only copy.",
  },
  PUBLISH_TOPIC_TAKEN: {
    http: 409,
    exit: 2,
    action: "fix-setup",
    about: "A view is published to a topic that something else writes: a source, a webhook, another view or Millrace.",
  },
  PUBLISH_TOPIC_NOT_COMPACTED: {
    http: 409,
    exit: 2,
    action: "fix-setup",
    about: "A view is published to a topic that is not compacted, so that it would forget rows that the view has.",
  },
  PUBLISH_KEY_MISSING: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "A view without a key cannot be published: its records would have no key to be compacted by.",
  },
  PUBLISH_CYCLE: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "A view reads a topic that it is published to, itself or by way of others.",
  },
  VIEW_BUILDING: { http: 503, exit: 4, action: "wait", about: "The view is being built; details carry the progress." },
  VIEW_FAILED: { http: 503, exit: 1, action: "call-operator", about: "The view's statement failed; others go on." },
  SCHEMA_STALE: {
    http: 400,
    exit: 1,
    action: "fix-setup",
    about: "millrace-schema.json or millrace-env.d.ts is not up to date with the definitions.",
  },
} as const satisfies Readonly<Record<string, ErrorCodeEntry>>;
