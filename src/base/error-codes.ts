/**
 * Every code that a caller can see, in one table. `http` is the status of a problem document (RFC 9457), `exit` the
 * exit code of the command line (0 done, 1 failed, 2 usage, 3 set-up, 4 wait and retry), `kafka` the protocol's error
 * where there is one. Codes are `NOUN_REASON` and never change their meaning.
 */
export type ErrorAction = "retry" | "fix-request" | "fix-setup" | "wait" | "call-operator";

export interface ErrorCodeEntry {
  readonly http: number;
  readonly exit: 1 | 2 | 3 | 4;
  readonly action: ErrorAction;
  readonly kafka?: string;
  /** One sentence for the reference. */
  readonly about: string;
}

export const errorCodes = {
  // requests
  REQUEST_INVALID: {
    http: 400,
    exit: 2,
    action: "fix-request",
    kafka: "INVALID_REQUEST",
    about: "The request's form is wrong; the message names the part.",
  },
  REQUEST_TOO_LARGE: { http: 413, exit: 1, action: "fix-request", about: "The body is larger than the door accepts." },
  REQUEST_TIMEOUT: { http: 408, exit: 4, action: "retry", about: "The request did not arrive whole in time." },
  REQUEST_HEADERS_TOO_LARGE: {
    http: 431,
    exit: 1,
    action: "fix-request",
    about: "The request's line and headers are larger than the door accepts.",
  },
  REQUEST_UNAUTHENTICATED: { http: 401, exit: 3, action: "fix-setup", about: "The key is missing or is not known." },
  REQUEST_FORBIDDEN: {
    http: 403,
    exit: 3,
    action: "fix-setup",
    about: "A foreign host name or browser origin was used.",
  },
  MEDIA_TYPE_UNSUPPORTED: {
    http: 415,
    exit: 1,
    action: "fix-request",
    about: "The content type or encoding of the body is not read here.",
  },
  METHOD_NOT_ALLOWED: {
    http: 405,
    exit: 1,
    action: "fix-request",
    about: "The path exists, but not with this method.",
  },
  ROUTE_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "There is nothing at this path." },
  COLUMN_UNKNOWN: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "A filter, order or select names a column that the view does not have.",
  },
  FILTER_INVALID: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "A filter's operator or value cannot be used on its column.",
  },
  KEY_INVALID: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "The key in the path does not have the view's key columns.",
  },
  ROW_NOT_FOUND: { http: 404, exit: 1, action: "fix-request", about: "The view has no row with this key." },
  TOKEN_INVALID: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "The token was not made by Millrace, or not by this version.",
  },
  TOKEN_FOREIGN: {
    http: 409,
    exit: 1,
    action: "fix-request",
    about: "The token belongs to another log, group or source.",
  },
  TOKEN_TIMEOUT: {
    http: 503,
    exit: 4,
    action: "wait",
    about: "What the token names was not reached in time; the read can be repeated.",
  },
  CONNECTIONS_EXHAUSTED: {
    http: 503,
    exit: 4,
    action: "wait",
    about: "The process is at its limit of connections; `millrace doctor` reports the limit.",
  },
  // log and topics
  TOPIC_NAME_INVALID: {
    http: 400,
    exit: 2,
    action: "fix-request",
    kafka: "INVALID_TOPIC_EXCEPTION",
    about: "Topic names have 1 to 249 of the characters a-z A-Z 0-9 . _ -.",
  },
  TOPIC_UNKNOWN: {
    http: 404,
    exit: 1,
    action: "fix-request",
    kafka: "UNKNOWN_TOPIC_OR_PARTITION",
    about: "There is no topic of this name.",
  },
  TOPIC_EXISTS: {
    http: 409,
    exit: 1,
    action: "fix-request",
    kafka: "TOPIC_ALREADY_EXISTS",
    about: "A topic of this name exists with other settings.",
  },
  TOPIC_READ_ONLY: {
    http: 403,
    exit: 1,
    action: "fix-request",
    kafka: "TOPIC_AUTHORIZATION_FAILED",
    about: "Topics of sources and of Millrace itself are written by Millrace only.",
  },
  PARTITION_UNKNOWN: {
    http: 404,
    exit: 1,
    action: "fix-request",
    kafka: "UNKNOWN_TOPIC_OR_PARTITION",
    about: "The topic has no partition of this number.",
  },
  PARTITION_FAILED: {
    http: 503,
    exit: 1,
    action: "call-operator",
    kafka: "KAFKA_STORAGE_ERROR",
    about: "The disk failed under this partition; it serves again after a restart has read it back.",
  },
  PARTITION_DAMAGED: {
    http: 503,
    exit: 1,
    action: "call-operator",
    kafka: "KAFKA_STORAGE_ERROR",
    about: "Bytes in the middle of this partition are damaged; nothing was deleted.",
  },
  OFFSET_OUT_OF_RANGE: {
    http: 416,
    exit: 1,
    action: "fix-request",
    kafka: "OFFSET_OUT_OF_RANGE",
    about: "The offset lies before the first retained or after the last record.",
  },
  RECORD_TOO_LARGE: {
    http: 413,
    exit: 1,
    action: "fix-request",
    kafka: "MESSAGE_TOO_LARGE",
    about: "A record or batch is larger than the topic's limit.",
  },
  RECORD_INVALID: {
    http: 400,
    exit: 1,
    action: "fix-request",
    kafka: "INVALID_RECORD",
    about: "A record is not what the topic takes; the message says why.",
  },
  BATCH_CORRUPT: {
    http: 400,
    exit: 1,
    action: "fix-request",
    kafka: "CORRUPT_MESSAGE",
    about: "A record batch fails its checksum or its form.",
  },
  PRODUCER_FENCED: {
    http: 409,
    exit: 1,
    action: "call-operator",
    kafka: "INVALID_PRODUCER_EPOCH",
    about: "A newer owner of the same unit has taken over.",
  },
  TRANSACTION_INVALID: {
    http: 409,
    exit: 1,
    action: "fix-request",
    kafka: "INVALID_TXN_STATE",
    about: "The transaction is not open.",
  },
  LOG_FORMAT_NEWER: { http: 500, exit: 3, action: "fix-setup", about: "A file was written by a newer Millrace." },
  LOG_DAMAGED: {
    http: 500,
    exit: 3,
    action: "call-operator",
    about: "The log's catalogue of topics is damaged or missing; nothing was deleted.",
  },
  LOG_LOST: {
    http: 500,
    exit: 3,
    action: "call-operator",
    about: "The store knows a log that is not in the data directory.",
  },
  LOG_CLOSED: { http: 503, exit: 4, action: "retry", about: "The log is shutting down." },
  DISK_LOW: {
    http: 507,
    exit: 4,
    action: "wait",
    kafka: "KAFKA_STORAGE_ERROR",
    about: "Appends are refused until there is space on the disk again.",
  },
  // data directory, program
  DATA_DIRECTORY_LOCKED: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "Another Millrace runs on this data directory.",
  },
  DATA_DIRECTORY_UNUSABLE: { http: 500, exit: 3, action: "fix-setup", about: "The data directory cannot be written." },
  PORT_TAKEN: { http: 500, exit: 3, action: "fix-setup", about: "A port that was asked for is in use." },
  SETTING_INVALID: {
    http: 500,
    exit: 2,
    action: "fix-setup",
    about: "A setting cannot be read; the message names it.",
  },
  KEY_REQUIRED: { http: 500, exit: 3, action: "fix-setup", about: "Listening beyond loopback needs MILLRACE_KEY." },
  PLATFORM_UNSUPPORTED: {
    http: 500,
    exit: 3,
    action: "fix-setup",
    about: "This operating system or processor is not supported yet.",
  },
  NOT_RUNNING: { http: 503, exit: 3, action: "fix-setup", about: "No Millrace answers at the address." },
  USAGE_INVALID: { http: 400, exit: 2, action: "fix-request", about: "The command line is wrong." },
  INTERNAL_ERROR: {
    http: 500,
    exit: 1,
    action: "call-operator",
    about: "A bug in Millrace; the diagnostics have the whole error.",
  },
  SHUTTING_DOWN: { http: 503, exit: 4, action: "retry", about: "The program is stopping." },
  // store
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
  STORE_AHEAD_OF_LOG: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The store has seen more of the log than there is.",
  },
  STORE_OF_ANOTHER_LOG: { http: 503, exit: 3, action: "call-operator", about: "The store was built from another log." },
  QUERY_INVALID: {
    http: 400,
    exit: 1,
    action: "fix-request",
    about: "PostgreSQL refuses the query; the message is its own.",
  },
  QUERY_TIMEOUT: { http: 503, exit: 4, action: "retry", about: "The query ran longer than allowed." },
  // sources
  SOURCE_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "There is no source of this name." },
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
  SOURCE_SLOT_AHEAD: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The slot was confirmed past what the log has.",
  },
  SOURCE_SLOT_IN_USE: { http: 503, exit: 4, action: "wait", about: "Another connection reads from the slot." },
  SOURCE_REPLACED: {
    http: 503,
    exit: 3,
    action: "call-operator",
    about: "The address leads to another database server than before.",
  },
  SOURCE_FAILED: {
    http: 503,
    exit: 1,
    action: "call-operator",
    about: "The source stopped with an error that does not pass by itself.",
  },
  // definitions and views
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
  VIEW_UNSUPPORTED: {
    http: 400,
    exit: 2,
    action: "fix-setup",
    about: "The view uses SQL that cannot be kept up to date yet; the hint says what would help.",
  },
  VIEW_CYCLE: { http: 400, exit: 2, action: "fix-setup", about: "Views read each other in a circle." },
  VIEW_BUILDING: { http: 503, exit: 4, action: "wait", about: "The view is being built; details carry the progress." },
  VIEW_FAILED: { http: 503, exit: 1, action: "call-operator", about: "The view's statement failed; others go on." },
  SCHEMA_STALE: {
    http: 400,
    exit: 1,
    action: "fix-setup",
    about: "millrace-schema.json or millrace-env.d.ts is not up to date with the definitions.",
  },
} as const satisfies Readonly<Record<string, ErrorCodeEntry>>;

export type ErrorCode = keyof typeof errorCodes;
