/**
 * What a broker answered in place of what was asked, and what follows from it: ask again (perhaps somebody else), or tell the
 * caller.
 *
 * Always true: a `KafkaError` does not leave this folder; callers of the engine get a `MillraceError`.
 */
import type { ErrorCode } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";
import { type KafkaErrorName, kafkaErrors } from "../../kafka/kafka-errors.ts";

const names = new Map<number, KafkaErrorName>(
  (Object.keys(kafkaErrors) as KafkaErrorName[]).map((name) => [kafkaErrors[name], name]),
);

export type KafkaErrorLabel = KafkaErrorName | `ERROR_${number}`;

export function nameOfError(code: number): KafkaErrorLabel {
  return names.get(code) ?? `ERROR_${code}`;
}

/** A record that made the broker refuse its batch (KIP-467). */
export interface RecordError {
  readonly batchIndex: number;
  readonly message: string;
}

export class KafkaError extends Error {
  readonly label: KafkaErrorLabel;
  /** What was asked for, as a part of a sentence: `appending to t/0`. */
  readonly what: string;
  /** What the broker says about it. */
  readonly said: string | null;
  readonly recordErrors: readonly RecordError[];

  constructor(code: number, what: string, said: string | null = null, recordErrors: readonly RecordError[] = []) {
    super(`${what}: ${nameOfError(code)}${said === null ? "" : ` (${said})`}`);
    this.name = "KafkaError";
    this.label = nameOfError(code);
    this.what = what;
    this.said = said;
    this.recordErrors = recordErrors;
  }
}

/** Throws unless the code is 0. */
export function assertNone(code: number, what: string, said: string | null = null): void {
  if (code !== kafkaErrors.NONE) throw new KafkaError(code, what, said);
}

/** The broker is not the one, or does not know yet what others know: its answer is old, or mine is. */
const stale: ReadonlySet<KafkaErrorLabel> = new Set<KafkaErrorLabel>([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "UNKNOWN_TOPIC_ID",
  "INCONSISTENT_TOPIC_ID",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_OR_FOLLOWER",
  "REPLICA_NOT_AVAILABLE",
  "LISTENER_NOT_FOUND",
  "KAFKA_STORAGE_ERROR",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "NOT_CONTROLLER",
  "NETWORK_EXCEPTION",
]);

const staleCoordinator: ReadonlySet<KafkaErrorLabel> = new Set<KafkaErrorLabel>([
  "COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR",
]);

const passing: ReadonlySet<KafkaErrorLabel> = new Set<KafkaErrorLabel>([
  "REQUEST_TIMED_OUT",
  "BROKER_NOT_AVAILABLE",
  "COORDINATOR_LOAD_IN_PROGRESS",
  "NOT_ENOUGH_REPLICAS",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "OFFSET_NOT_AVAILABLE",
  "CONCURRENT_TRANSACTIONS",
  "THROTTLING_QUOTA_EXCEEDED",
  "REASSIGNMENT_IN_PROGRESS",
  "FETCH_SESSION_ID_NOT_FOUND",
  "ELIGIBLE_LEADERS_NOT_AVAILABLE",
]);

export type Remedy = "again" | "refresh" | "coordinator" | "none";

/** What may help before the same is asked again. A connection that was lost may lead to another broker. */
export function remedyOf(error: unknown): Remedy {
  if (error instanceof KafkaError) return remedyOfLabel(error.label);
  return MillraceError.is(error, "CLUSTER_UNREACHABLE") ? "refresh" : "none";
}

export function remedyOfLabel(label: KafkaErrorLabel): Remedy {
  if (stale.has(label)) return "refresh";
  if (staleCoordinator.has(label)) return "coordinator";
  return passing.has(label) ? "again" : "none";
}

const codes: Partial<Record<KafkaErrorLabel, ErrorCode>> = {
  UNKNOWN_TOPIC_OR_PARTITION: "TOPIC_UNKNOWN",
  UNKNOWN_TOPIC_ID: "TOPIC_UNKNOWN",
  INVALID_TOPIC_EXCEPTION: "TOPIC_NAME_INVALID",
  TOPIC_ALREADY_EXISTS: "TOPIC_EXISTS",
  OFFSET_OUT_OF_RANGE: "OFFSET_OUT_OF_RANGE",
  CORRUPT_MESSAGE: "BATCH_CORRUPT",
  MESSAGE_TOO_LARGE: "RECORD_TOO_LARGE",
  RECORD_LIST_TOO_LARGE: "RECORD_TOO_LARGE",
  INVALID_RECORD: "RECORD_INVALID",
  INVALID_TIMESTAMP: "RECORD_TIMESTAMP_INVALID",
  UNSUPPORTED_COMPRESSION_TYPE: "RECORD_INVALID",
  OUT_OF_ORDER_SEQUENCE_NUMBER: "PRODUCER_SEQUENCE_INVALID",
  DUPLICATE_SEQUENCE_NUMBER: "PRODUCER_SEQUENCE_INVALID",
  UNKNOWN_PRODUCER_ID: "PRODUCER_SEQUENCE_INVALID",
  INVALID_PRODUCER_EPOCH: "PRODUCER_FENCED",
  PRODUCER_FENCED: "PRODUCER_FENCED",
  INVALID_PRODUCER_ID_MAPPING: "PRODUCER_UNKNOWN",
  TRANSACTIONAL_ID_NOT_FOUND: "PRODUCER_UNKNOWN",
  INVALID_TXN_STATE: "TRANSACTION_INVALID",
  TRANSACTION_ABORTABLE: "TRANSACTION_INVALID",
  CONCURRENT_TRANSACTIONS: "TRANSACTION_CONCURRENT",
  INVALID_CONFIG: "SETTING_INVALID",
  INVALID_PARTITIONS: "SETTING_INVALID",
  INVALID_REPLICATION_FACTOR: "CLUSTER_UNSUITABLE",
  INVALID_TRANSACTION_TIMEOUT: "TRANSACTION_TIMEOUT_INVALID",
  POLICY_VIOLATION: "SETTING_INVALID",
  UNSUPPORTED_VERSION: "CLUSTER_UNSUITABLE",
  INVALID_GROUP_ID: "GROUP_NAME_INVALID",
  GROUP_ID_NOT_FOUND: "GROUP_UNKNOWN",
  NON_EMPTY_GROUP: "GROUP_NOT_EMPTY",
  GROUP_SUBSCRIBED_TO_TOPIC: "GROUP_NOT_EMPTY",
  GROUP_MAX_SIZE_REACHED: "GROUP_FULL",
  UNKNOWN_MEMBER_ID: "GROUP_MEMBER_UNKNOWN",
  FENCED_INSTANCE_ID: "GROUP_MEMBER_FENCED",
  ILLEGAL_GENERATION: "GROUP_GENERATION_OLD",
  REBALANCE_IN_PROGRESS: "GROUP_GENERATION_OLD",
  INCONSISTENT_GROUP_PROTOCOL: "GROUP_ASSIGNOR_MISMATCH",
  INVALID_SESSION_TIMEOUT: "GROUP_REQUEST_INVALID",
  OFFSET_METADATA_TOO_LARGE: "GROUP_METADATA_TOO_LARGE",
  INVALID_COMMIT_OFFSET_SIZE: "GROUP_STATE_FULL",
  TOPIC_AUTHORIZATION_FAILED: "CLUSTER_REFUSED",
  GROUP_AUTHORIZATION_FAILED: "CLUSTER_REFUSED",
  CLUSTER_AUTHORIZATION_FAILED: "CLUSTER_REFUSED",
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "CLUSTER_REFUSED",
  SASL_AUTHENTICATION_FAILED: "CLUSTER_REFUSED",
  UNSUPPORTED_SASL_MECHANISM: "CLUSTER_REFUSED",
  ILLEGAL_SASL_STATE: "CLUSTER_REFUSED",
};

const hints: Partial<Record<ErrorCode, string>> = {
  CLUSTER_REFUSED: "Give this program's user the rights in Kafka's ACLs; docs/guide/kafka-cluster.md lists them.",
};

/** What a caller of the engine is told. What passes by itself, and has not in time, is `CLUSTER_UNREACHABLE`. */
export function toMillraceError(error: unknown): MillraceError {
  if (!(error instanceof KafkaError)) return MillraceError.from(error);
  const { label, what, recordErrors } = error;
  const records = recordErrors.map(({ batchIndex, message }) => `record ${batchIndex} of the batch: ${message}`);
  const said = records.length > 0 ? records.join("; ") : error.said;
  const code = codes[label] ?? (remedyOfLabel(label) === "none" ? "INTERNAL_ERROR" : "CLUSTER_UNREACHABLE");
  const hint = hints[code];
  return new MillraceError(code, `${what}: Kafka answers ${label}${said === null ? "" : `, ${said}`}`, {
    cause: error,
    details: { kafka: label, ...(recordErrors.length > 0 ? { recordErrors } : {}) },
    ...(hint === undefined ? {} : { hint }),
  });
}

export function logClosed(): MillraceError {
  return new MillraceError("LOG_CLOSED", "the log is shutting down");
}
