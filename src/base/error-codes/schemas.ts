/** Of schemas and their registry. */
import type { ErrorCodeEntry } from "./entry.ts";

export const schemaCodes = {
  SUBJECT_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "There is no subject of this name." },
  SUBJECT_INVALID: { http: 422, exit: 1, action: "fix-request", about: "The name of a subject cannot be one." },
  SUBJECT_DELETED: {
    http: 404,
    exit: 1,
    action: "fix-request",
    about: "The subject, or the version of it, is deleted already; it can be deleted for good.",
  },
  SUBJECT_NOT_DELETED: {
    http: 404,
    exit: 1,
    action: "fix-request",
    about: "A subject, or a version of it, is deleted before it is deleted for good.",
  },
  SCHEMA_INVALID: {
    http: 422,
    exit: 2,
    action: "fix-request",
    about: "The schema is none of its type; the message names the place.",
  },
  SCHEMA_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "There is no such schema." },
  SCHEMA_VERSION_UNKNOWN: { http: 404, exit: 1, action: "fix-request", about: "The subject has no such version." },
  SCHEMA_VERSION_INVALID: {
    http: 422,
    exit: 1,
    action: "fix-request",
    about: "A version is a whole number, or latest.",
  },
  SCHEMA_TOO_LARGE: {
    http: 422,
    exit: 1,
    action: "fix-request",
    about: "The schema, with what it is built on, is larger than one may be.",
  },
  SCHEMA_INCOMPATIBLE: {
    http: 409,
    exit: 1,
    action: "fix-request",
    about: "Data of earlier versions could not be read with the schema, or the other way round; nothing was written.",
  },
  SCHEMA_MISMATCH: {
    http: 422,
    exit: 1,
    action: "fix-request",
    kafka: "INVALID_RECORD",
    about: "A value does not fit the schema of its topic; details say where and why, for each event.",
  },
  SCHEMA_REFERENCED: { http: 422, exit: 1, action: "fix-request", about: "Other schemas are built on this one." },
  SCHEMA_ID_TAKEN: { http: 422, exit: 1, action: "fix-request", about: "The id is that of another schema." },
  COMPATIBILITY_LEVEL_INVALID: { http: 422, exit: 1, action: "fix-request", about: "There is no such compatibility." },
  COMPATIBILITY_NOT_SET: {
    http: 404,
    exit: 1,
    action: "fix-request",
    about: "The subject has no compatibility of its own; that of all holds.",
  },
  REGISTRY_MODE_INVALID: { http: 422, exit: 1, action: "fix-request", about: "There is no such mode." },
  REGISTRY_MODE_NOT_SET: {
    http: 404,
    exit: 1,
    action: "fix-request",
    about: "The subject has no mode of its own; that of the registry holds.",
  },
  REGISTRY_READ_ONLY: {
    http: 422,
    exit: 1,
    action: "fix-request",
    about: "The mode of the subject, or of the registry, does not allow this change.",
  },
  REGISTRY_FULL: {
    http: 507,
    exit: 1,
    action: "call-operator",
    about: "The registry holds as many schemas, versions or settings of subjects as it may.",
  },
  TOPIC_CHANGE_REFUSED: {
    http: 409,
    exit: 3,
    action: "fix-setup",
    about:
      "A definition asks of a topic that is there what cannot be changed: fewer partitions, or a topic of a source.",
  },
} as const satisfies Readonly<Record<string, ErrorCodeEntry>>;
