/** What a member may say of itself, within its bounds, with the defaults for what it leaves out. */

import { MillraceError } from "../base/errors.ts";
import { checkGroupName } from "../log/groups/group-checks.ts";
import type { JoiningMember } from "./embedded/group-machine.ts";
import { type Assignor, defaultMemberSettings, type JoinOptions } from "./groups.ts";
import { checkTopicName } from "./topic-settings.ts";

const idBytesMax = 255;
const memberMetadataBytesMax = 4096;
const memberTopicsMax = 1_000;
const secondMs = 1_000;

export interface CheckedJoin {
  readonly group: string;
  readonly assignor: Assignor;
  /** Without its id when none was given. */
  readonly member: Omit<JoiningMember, "memberId"> & { readonly memberId: string | null };
}

/** Throws `GROUP_NAME_INVALID`, `GROUP_REQUEST_INVALID`, `TOPIC_NAME_INVALID`. */
export function checkJoin(options: JoinOptions): CheckedJoin {
  const { group, topics, memberId, instanceId, metadata, assignor = defaultMemberSettings.assignor } = options;
  checkGroupName(group);
  if (!Array.isArray(topics) || topics.length === 0 || topics.length > memberTopicsMax) {
    throw invalid(`a member subscribes to 1 to ${memberTopicsMax} topics`, { setting: "topics" });
  }
  for (const topic of topics) {
    if (typeof topic !== "string") throw invalid("a topic's name is text", { setting: "topics" });
    checkTopicName(topic);
  }
  if (assignor !== "sticky" && assignor !== "range" && assignor !== "roundrobin") {
    throw invalid(`the assignor is ${JSON.stringify(assignor)}, not sticky, range or roundrobin`, {
      setting: "assignor",
    });
  }
  return {
    group,
    assignor,
    member: {
      memberId: checkedId("memberId", memberId),
      instanceId: checkedId("instanceId", instanceId),
      metadata: checkedMetadata(metadata),
      topics: [...new Set(topics)],
      sessionTimeoutMs: span(
        "sessionTimeoutMs",
        options.sessionTimeoutMs ?? defaultMemberSettings.sessionTimeoutMs,
        30 * 60 * secondMs,
      ),
      rebalanceTimeoutMs: span(
        "rebalanceTimeoutMs",
        options.rebalanceTimeoutMs ?? defaultMemberSettings.rebalanceTimeoutMs,
        60 * 60 * secondMs,
      ),
    },
  };
}

function checkedId(setting: string, id: unknown): string | null {
  if (id === undefined) return null;
  if (typeof id === "string" && id.length > 0 && id.isWellFormed() && Buffer.byteLength(id) <= idBytesMax) return id;
  throw invalid(`${setting} is text of 1 to ${idBytesMax} bytes`, { setting });
}

function checkedMetadata(metadata: unknown): Buffer {
  if (metadata === undefined) return Buffer.alloc(0);
  const isText = typeof metadata === "string" && metadata.isWellFormed();
  if (!isText && !(metadata instanceof Uint8Array)) {
    throw invalid("a member's metadata are text or bytes", { setting: "metadata" });
  }
  // A copy: the caller may go on writing to what it gave.
  const bytes = Buffer.from(metadata as Uint8Array);
  if (bytes.length <= memberMetadataBytesMax) return bytes;
  throw invalid(`a member's metadata have at most ${memberMetadataBytesMax} bytes`, { setting: "metadata" });
}

function span(setting: string, valueMs: unknown, maxMs: number): number {
  if (Number.isSafeInteger(valueMs) && (valueMs as number) >= secondMs && (valueMs as number) <= maxMs) {
    return valueMs as number;
  }
  throw invalid(`${setting} is ${String(valueMs)}, not a whole number from ${secondMs} to ${maxMs}`, { setting });
}

function invalid(message: string, details: Readonly<Record<string, unknown>>): MillraceError {
  return new MillraceError("GROUP_REQUEST_INVALID", message, { details });
}
