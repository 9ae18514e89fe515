/** Where mirrors of topics stand in the log: a topic has partitions, and records that the log has let go. */
import type { Engine, PartitionOffsets } from "../engine/engine.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { type MirrorRow, writePositions } from "./bookkeeping.ts";
import { type GroupContext, transact } from "./group-context.ts";
import type { GroupState } from "./group-state.ts";
import type { RecordsPlace } from "./inputs.ts";
import { placeOf, type StoredPosition } from "./positions.ts";

export function isOfTopic({ shape }: Pick<MirrorRow, "shape">): boolean {
  return shape.records !== undefined;
}

/** Partitions that are to be followed. Of a topic that is not there yet it is the first one. */
export function recordsPlaces(engine: Engine, state: GroupState): RecordsPlace[] {
  return state
    .filledMirrors()
    .filter(isOfTopic)
    .flatMap((mirror) => {
      const { topic } = mirror.shape;
      const partitions = engine.topic(topic)?.settings.partitions ?? 1;
      return Array.from({ length: partitions }, (_, partition): RecordsPlace => {
        const topicId = state.positions.get(placeOf(topic, partition))?.topicId ?? null;
        return { mirror, partition, partitions, topicId };
      });
    });
}

/** Statements by which a mirror that was just made begins with the first records that the log has. */
export async function topicBeginning(
  { settings, state }: GroupContext,
  mirror: MirrorRow,
): Promise<PipelineStatement[]> {
  const { topic } = mirror.shape;
  const offsets = await partitionOffsets(settings.engine, topic);
  const positions = offsets.map(({ logStart }, partition) => positionAt(settings.engine, topic, partition, logStart));
  for (const position of positions) state.positions.set(placeOf(topic, position.partition), position);
  state.catchingUp.set(mirror.id, targetsOf(topic, offsets));
  return writePositions(settings.name, positions);
}

/** Where mirrors are to be before views are built that nobody reads yet. */
export async function noteTargets({ settings, state }: GroupContext): Promise<void> {
  for (const mirror of state.mirrors) {
    if (!isOfTopic(mirror) || mirror.state !== "filled" || state.catchingUp.has(mirror.id)) continue;
    const { topic } = mirror.shape;
    state.catchingUp.set(mirror.id, targetsOf(topic, await partitionOffsets(settings.engine, topic)));
  }
}

/**
 * The log has let records go before they were read: the mirror goes on with the first one that is there. True when it
 * moved.
 */
export async function skipRetired(context: GroupContext, { shape }: MirrorRow): Promise<boolean> {
  const { settings, state } = context;
  const offsets = await partitionOffsets(settings.engine, shape.topic);
  const moved = offsets.flatMap(({ logStart }, partition) => {
    const known = state.positions.get(placeOf(shape.topic, partition));
    if (known !== undefined && known.nextOffset >= logStart) return [];
    const { latestEventMs = null } = known ?? {};
    return [{ ...positionAt(settings.engine, shape.topic, partition, logStart), latestEventMs }];
  });
  await transact(context, writePositions(settings.name, moved));
  for (const position of moved) state.positions.set(placeOf(shape.topic, position.partition), position);
  return moved.length > 0;
}

/**
 * Mirrors of the last value of each key that stood still while the log may have let deletes go: a compaction keeps a
 * tombstone for its time, and then not. Half of it is allowed, since it counts from the compaction.
 */
export async function outdatedMirrors(
  engine: Engine,
  state: GroupState,
  stoodStillMs: number,
): Promise<ReadonlySet<number>> {
  const outdated = new Set<number>();
  for (const { id, shape, state: filled } of state.mirrors) {
    const settings = engine.topic(shape.topic)?.settings;
    if (shape.records !== "latest" || filled === "absent" || settings === undefined) continue;
    if (stoodStillMs < settings.tombstoneRetentionMs / 2) continue;
    const offsets = await partitionOffsets(engine, shape.topic);
    const isBehind = ({ lastStable }: PartitionOffsets, partition: number) =>
      (state.positions.get(placeOf(shape.topic, partition))?.nextOffset ?? 0) < lastStable;
    if (offsets.some(isBehind)) outdated.add(id);
  }
  return outdated;
}

/** Empty for a topic that is not there. */
export async function partitionOffsets(engine: Engine, topic: string): Promise<PartitionOffsets[]> {
  const partitions = engine.topic(topic)?.settings.partitions ?? 0;
  return Promise.all(Array.from({ length: partitions }, async (_, partition) => engine.offsets(topic, partition)));
}

function targetsOf(topic: string, offsets: readonly PartitionOffsets[]): Map<string, number> {
  return new Map(offsets.map(({ lastStable }, partition) => [placeOf(topic, partition), lastStable]));
}

function positionAt(engine: Engine, topic: string, partition: number, nextOffset: number): StoredPosition {
  const topicId = engine.topic(topic)?.id ?? "";
  const leaderEpoch = engine.leaderEpoch(topic, partition);
  return { topic, topicId, partition, nextOffset, leaderEpoch, baseOffset: nextOffset, latestEventMs: null };
}
