/**
 * Mirrors of topics, brought to what the definitions and the log say. Unlike a captured table's, such a mirror has a
 * prefix of its own: it begins with the first record that the log has and is read like everything else, in ordinary
 * batches; views over it are built when it has what the log had when it began.
 */
import { isDeepStrictEqual as isSame } from "node:util";
import type { TableShape } from "../schema/table-shape.ts";
import { ownerOf } from "./applier-batch.ts";
import { type MirrorRow, type VersionRow, writeTable, writeVersion } from "./bookkeeping.ts";
import { attempt, type GroupContext, transact } from "./group-context.ts";
import { breakMirror, dropMirrorStatements, setMirror } from "./group-mirrors.ts";
import { alterComputed, mirrorTable } from "./mirror.ts";
import type { StoredPosition } from "./positions.ts";
import { isOfTopic } from "./topic-places.ts";

export type TopicStep =
  /** Only written down: there is no table yet. */
  | { readonly kind: "note"; readonly shape: TableShape }
  /** The table gets other computed columns; where one goes, views that read it are built anew. */
  | {
      readonly kind: "alter";
      readonly mirror: MirrorRow;
      readonly shape: TableShape;
      readonly statements: readonly string[];
      readonly isMore: boolean;
    }
  /** The table goes, and is filled from the log again when a view needs it. */
  | { readonly kind: "over"; readonly mirror: MirrorRow; readonly shape: TableShape; readonly reason: string }
  /** The topic was deleted. */
  | { readonly kind: "lost"; readonly mirror: MirrorRow };

export interface TopicsKnown {
  /** Shapes of the topics that are defined. */
  readonly defined: readonly TableShape[];
  readonly mirrors: readonly MirrorRow[];
  readonly positions: ReadonlyMap<string, StoredPosition>;
  /** Mirrors that may lack what the log has let go since they were read. */
  readonly outdated: ReadonlySet<number>;
  topicId(name: string): string | undefined;
}

/** What is to be done, of each topic at most one thing. Pure. */
export function planTopics({ defined, mirrors, positions, outdated, topicId }: TopicsKnown): TopicStep[] {
  const steps: TopicStep[] = [];
  const known = new Map(mirrors.filter(isOfTopic).map((mirror) => [mirror.shape.topic, mirror]));
  for (const shape of defined) {
    const mirror = known.get(shape.topic);
    if (mirror === undefined) steps.push({ kind: "note", shape });
  }
  const definedNow = new Map(defined.map((shape) => [shape.topic, shape]));
  const idsRead = new Map([...positions.values()].map(({ topic, topicId }) => [topic, topicId]));
  for (const [topic, mirror] of known) {
    const shape = definedNow.get(topic) ?? mirror.shape;
    const step = planMirror(mirror, shape, idsRead.get(topic), topicId(topic), outdated.has(mirror.id));
    if (step !== null) steps.push(step);
  }
  return steps;
}

function planMirror(
  mirror: MirrorRow,
  shape: TableShape,
  idRead: string | undefined,
  id: string | undefined,
  isOutdated: boolean,
): TopicStep | null {
  if (mirror.state === "absent") return isSame(mirror.shape, shape) ? null : { kind: "note", shape };
  if (idRead !== undefined && id !== undefined && idRead !== id) {
    return { kind: "over", mirror, shape, reason: "the topic was deleted and made again" };
  }
  const statements = alterComputed(mirror.shape, shape);
  if (statements === null)
    return { kind: "over", mirror, shape, reason: "its cleanup policy or its watermark is another one" };
  if (isOutdated) return { kind: "over", mirror, shape, reason: "deletes of keys may be gone from the log" };
  if (statements.length > 0) {
    const isMore = mirror.shape.columns.every((column) => shape.columns.some((now) => isSame(now, column)));
    return { kind: "alter", mirror, shape, statements, isMore };
  }
  if (idRead !== undefined && id === undefined && mirror.state === "filled") return { kind: "lost", mirror };
  return isSame(mirror.shape, shape) ? null : { kind: "alter", mirror, shape, statements: [], isMore: true };
}

/** Mirrors whose tables change or go: no build may be reading them meanwhile. */
export function mirrorsTaken(steps: readonly TopicStep[]): ReadonlySet<number> {
  return new Set(steps.flatMap((step) => (step.kind === "alter" || step.kind === "over" ? [step.mirror.id] : [])));
}

/** Views are to be planned anew behind it. */
export async function arrangeTopics(context: GroupContext, steps: readonly TopicStep[]): Promise<void> {
  const { diagnostics } = context.settings;
  for (const step of steps) {
    if (step.kind === "note") await noteShape(context, step.shape);
    else if (step.kind === "alter") await alter(context, step);
    else if (step.kind === "over") {
      const table = mirrorTable(step.mirror.shape);
      diagnostics.warn("a topic is read again from its beginning", { table, reason: step.reason });
      await begin(context, step);
    } else {
      const message = `topic ${step.mirror.shape.topic} was deleted`;
      await breakMirror(context, step.mirror, { code: "VIEW_FAILED", message });
    }
  }
}

async function noteShape(context: GroupContext, shape: TableShape): Promise<void> {
  const { state, settings } = context;
  const done = await transact(context, [writeTable(settings.name, shape)]);
  const id = Number(done.at(-1)?.rows[0]?.[0]);
  const mirror: MirrorRow = { id, shape, state: "absent", error: null, reading: null };
  state.mirrors = [...state.mirrors.filter((one) => one.id !== id), mirror].sort((a, b) => a.id - b.id);
}

async function alter(context: GroupContext, step: Extract<TopicStep, { kind: "alter" }>): Promise<void> {
  const { settings, state } = context;
  const { mirror, shape, isMore } = step;
  if (step.statements.length > 0) {
    settings.diagnostics.info("a topic has other columns", { table: mirrorTable(shape) });
  }
  const retired = isMore ? [] : await versionsOver(context, mirror.id);
  const outcome = await attempt(context, (applier) =>
    applier.transact([
      ...step.statements.map((sql) => ({ sql, fresh: true, owner: ownerOf.mirror(mirror.id) })),
      ...retired.map((version) => writeVersion(settings.name, version)),
      writeTable(settings.name, shape),
    ]),
  );
  if ("failure" in outcome) return breakMirror(context, mirror, outcome.failure.error);
  state.replaceVersions(retired);
  setMirror(context, { ...mirror, shape });
}

async function begin(context: GroupContext, step: Extract<TopicStep, { kind: "over" }>): Promise<void> {
  const { settings, state } = context;
  const { mirror, shape } = step;
  const retired = await versionsOver(context, mirror.id);
  await transact(context, [
    ...dropMirrorStatements(settings.name, mirror),
    ...retired.map((version) => writeVersion(settings.name, version)),
    writeTable(settings.name, shape),
  ]);
  state.replaceVersions(retired);
  state.forgetTopic(mirror);
  setMirror(context, { ...mirror, shape, state: "absent", error: null });
}

/** Versions that read a mirror, retired; found by compiling them, since the views may not be planned yet. */
export async function versionsOver({ settings, state }: GroupContext, mirrorId: number): Promise<VersionRow[]> {
  const mirrors = state.mirrors.map(({ id, shape }) => ({ id, shape }));
  const rows: VersionRow[] = [];
  for (const row of state.versions.filter((one) => one.state !== "retired")) {
    const { definition: view, reads: views, version } = row;
    const reads = await settings.compile({ view, mirrors, views, version }).then(
      ({ uses }) => uses.some((use) => use.mirrorId === mirrorId),
      () => true,
    );
    if (reads) rows.push({ ...row, state: "retired" });
  }
  return rows;
}
