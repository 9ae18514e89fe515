/**
 * Who may write a group: the owner of the unit `group.<name>`, by the log. Its epoch stands in the group's row and
 * fences whoever came before.
 */
import { systemClock } from "../base/clock.ts";
import type { Engine } from "../engine/engine.ts";
import { becomeOwner, unitOfGroup } from "../ownership/become-owner.ts";
import { encodeProgressRecord, progressTopic } from "../ownership/progress-records.ts";
import { ProgressTable } from "../ownership/progress-table.ts";
import { type Mark, printMarks, readMarks } from "./idle-marks.ts";
import type { GroupPosition } from "./view-info.ts";

export interface GroupOwner {
  readonly epoch: number;
  /** The newest position of the group that readers may know by the log, whoever noted it; null when there is none. */
  readonly noted: GroupPosition | null;
  /**
   * Resolves when the log has it. A generation is noted before the store has it, so that a store which was lost or
   * came back earlier never repeats one.
   */
  note(position: GroupPosition): Promise<void>;
  /** Of a partition of the topic with this id, as the log has them. */
  marks(topicId: string, partition: number): readonly Mark[];
  /** Resolves when the log has these in place of those that it had. Throws `PRODUCER_FENCED`. */
  mark(topicId: string, partition: number, marks: readonly Mark[]): Promise<void>;
}

/** Throws `PRODUCER_FENCED` when somebody else takes the group over at the same moment. */
export async function ownGroup(
  engine: Engine,
  group: string,
  { progress, told = null }: { readonly progress?: ProgressTable; readonly told?: GroupPosition | null } = {},
): Promise<GroupOwner> {
  const table = progress ?? (await ProgressTable.open({ engine, clock: systemClock }));
  const unit = unitOfGroup(group);
  const ownership = await becomeOwner(engine, unit, { progress: table });
  // Beside the unit's own progress, each of a partition under a name of its own: they are many, and seldom written.
  const prefix = `${unit}/idle/`;
  const known = new Map(
    table.unitsOf(prefix).map((name) => [name, readMarks(table.unit(`${prefix}${name}`).progress)]),
  );
  const { epoch } = ownership;
  return {
    epoch,
    noted: laterOf(positionOf(ownership.progress), told),
    async note(position) {
      const transaction = ownership.begin();
      await transaction.append(ownership.progressBatch({ generation: position.generation, batch: position.batch }));
      await transaction.commit();
    },
    marks: (topicId, partition) => known.get(`${topicId}.${partition}`) ?? [],
    async mark(topicId, partition, marks) {
      const name = `${topicId}.${partition}`;
      const record = { kind: "progress", unit: `${prefix}${name}`, epoch, value: printMarks(marks) } as const;
      const transaction = ownership.begin();
      const batch = encodeProgressRecord(record, table.clock.now());
      await transaction.append({ topic: progressTopic, partition: 0, batch });
      await transaction.commit();
      table.noticed();
      known.set(name, marks);
    },
  };
}

function positionOf(value: unknown): GroupPosition | null {
  if (value === null || typeof value !== "object" || !("generation" in value) || !("batch" in value)) return null;
  const { generation, batch } = value;
  return typeof generation === "number" && typeof batch === "number" ? { generation, batch } : null;
}

export function laterOf(one: GroupPosition | null, other: GroupPosition | null): GroupPosition | null {
  if (one === null || other === null) return one ?? other;
  return isBefore(one, other) ? other : one;
}

function isBefore(one: GroupPosition, other: GroupPosition): boolean {
  return one.generation < other.generation || (one.generation === other.generation && one.batch < other.batch);
}

/** The generation that the store must go on with: larger than any that readers may have seen of another history. */
export function generationAfter(stored: GroupPosition | null, noted: GroupPosition | null): number {
  if (stored === null) return (noted?.generation ?? 0) + 1;
  if (noted === null) return stored.generation;
  return isBefore(stored, noted) ? noted.generation + 1 : stored.generation;
}
