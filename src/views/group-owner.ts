/**
 * Who may write a group: the owner of the unit `group.<name>`, by the log. Its epoch stands in the group's row and
 * fences whoever came before.
 */
import type { Engine } from "../engine/engine.ts";
import { becomeOwner, unitOfGroup } from "../ownership/become-owner.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
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
}

/** Throws `PRODUCER_FENCED` when somebody else takes the group over at the same moment. */
export async function ownGroup(
  engine: Engine,
  group: string,
  { progress, told = null }: { readonly progress?: ProgressTable; readonly told?: GroupPosition | null } = {},
): Promise<GroupOwner> {
  const ownership = await becomeOwner(engine, unitOfGroup(group), progress ? { progress } : {});
  return {
    epoch: ownership.epoch,
    noted: laterOf(positionOf(ownership.progress), told),
    async note(position) {
      const transaction = ownership.begin();
      await transaction.append(ownership.progressBatch({ generation: position.generation, batch: position.batch }));
      await transaction.commit();
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
