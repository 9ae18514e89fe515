/** What the answers about consumer groups are made of, and the checks that they share. */
import { MillraceError } from "../../base/errors.ts";
import type { EmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import { errorCodeOf, kafkaErrors } from "../../kafka/kafka-errors.ts";
import { checkGroupName } from "../../log/groups/group-checks.ts";
import type { BrokerNode } from "../broker-node.ts";
import type { GroupCoordinator } from "./group-coordinator.ts";
import type { CommitClaim, GroupDirectory, GroupErrorName } from "./group-directory.ts";

export interface GroupDoor {
  readonly engine: EmbeddedEngine;
  readonly node: Pick<BrokerNode, "endpoint">;
  readonly coordinator: GroupCoordinator;
  readonly directory: GroupDirectory;
  readonly sessionTimeouts?: SessionTimeouts;
}

export interface SessionTimeouts {
  /** group.min.session.timeout.ms */
  readonly minMs: number;
  /** group.max.session.timeout.ms */
  readonly maxMs: number;
}

export const defaultSessionTimeouts: SessionTimeouts = { minMs: 6_000, maxMs: 30 * 60_000 };

export function isGroupName(groupId: string): boolean {
  try {
    checkGroupName(groupId);
    return true;
  } catch {
    return false;
  }
}

/** May offsets be committed for the group (Kafka's validateOffsetCommit, and what it says of groups that are not there)? */
export async function commitErrorOf(
  { directory, engine }: GroupDoor,
  groupId: string,
  claim: CommitClaim,
): Promise<GroupErrorName> {
  const hooks = directory.hooksOf(groupId);
  if (hooks) return hooks.commitCheck(groupId, claim);
  // Members in this process commit by themselves.
  if (directory.kindOf(groupId)) return "UNKNOWN_MEMBER_ID";
  if (claim.generationOrEpoch < 0) return "NONE";
  if (await engine.groups.offsets.group(groupId)) return "UNKNOWN_MEMBER_ID";
  return claim.isTransactional || claim.apiVersion < 9 ? "ILLEGAL_GENERATION" : "GROUP_ID_NOT_FOUND";
}

/** For what the log of groups could not do: clients ask again, where that may help. */
export function storeErrorCode(error: unknown): number {
  if (MillraceError.is(error, "RECORD_TOO_LARGE")) return kafkaErrors.INVALID_COMMIT_OFFSET_SIZE;
  for (const code of ["PARTITION_FAILED", "PARTITION_DAMAGED", "DISK_LOW", "LOG_CLOSED"] as const) {
    if (MillraceError.is(error, code)) return kafkaErrors.COORDINATOR_NOT_AVAILABLE;
  }
  return errorCodeOf(error);
}
