/**
 * The watermarks of a group's topics: the least over the partitions of how far the events of each have come. Each batch
 * takes along what its records moved. A partition that gets nothing for the topic's `idle` time, while others go on, is
 * marked to have come as far as they have; one that begins behind the watermark is marked to begin at it.
 *
 * Always true: no record that is read later counts for less than the watermark says that all have come to. So what a
 * watermark has let into a view is never added to.
 */
import type { Timer } from "../base/clock.ts";
import type { WatermarkRule } from "../schema/table-shape.ts";
import { timePasses } from "./group-clock.ts";
import type { GroupContext } from "./group-context.ts";
import { type Mark, markedMs, withMark } from "./idle-marks.ts";
import type { Advance, Inputs } from "./inputs.ts";
import { placeOf } from "./positions.ts";
import { watermarkMs } from "./watermark.ts";
import type { WatermarkMove } from "./watermark-store.ts";

/** Of one partition. */
export interface Reach {
  /** How far its events have come; null where none has told. */
  readonly ms: number | null;
  /** How long it has had no record. */
  readonly quietMs: number;
}

export interface IdlePlan {
  /** Partitions that are left out, and what they are taken to have come to. */
  readonly partitions: readonly number[];
  readonly toMs: number;
  /** When the next one may be; null where records have to come first. */
  readonly afterMs: number | null;
}

/** Which partitions hold back the others and have been quiet for so long. Pure. Where all are quiet, none is left out. */
export function planIdle(reaches: readonly Reach[], idleMs: number): IdlePlan {
  const active = reaches.filter(({ quietMs }) => quietMs < idleMs);
  const told = active.flatMap(({ ms }) => ms ?? []);
  if (told.length === 0 || told.length < active.length)
    return { partitions: [], toMs: 0, afterMs: nextQuiet(reaches, idleMs) };
  const toMs = Math.min(...told);
  const partitions = reaches.flatMap(({ ms, quietMs }, partition) =>
    quietMs >= idleMs && (ms === null || ms < toMs) ? [partition] : [],
  );
  return { partitions, toMs, afterMs: nextQuiet(reaches, idleMs) };
}

/** Of those that others are ahead of. */
function nextQuiet(reaches: readonly Reach[], idleMs: number): number | null {
  const furthest = Math.max(...reaches.flatMap(({ ms }) => ms ?? []));
  const waits = reaches
    .filter(({ ms, quietMs }) => quietMs < idleMs && (ms ?? Number.NEGATIVE_INFINITY) < furthest)
    .map(({ quietMs }) => idleMs - quietMs);
  return waits.length === 0 ? null : Math.min(...waits);
}

/** Where every partition has come to; null before each has. */
export function leastReach(reaches: readonly Reach[]): number | null {
  const told = reaches.flatMap(({ ms }) => ms ?? []);
  return told.length === 0 || told.length < reaches.length ? null : Math.min(...told);
}

const defaultIdleMs = 300_000;
/** From so much on, a move may let any number of rows in. */
const farMs = 300_000;
/** Marks of one topic are written no more often. */
const markEveryMs = 1_000;

interface WatermarkedTopic {
  readonly topic: string;
  readonly topicId: string;
  readonly partitions: number;
  readonly rule: WatermarkRule;
}

export class GroupWatermarks {
  readonly #context: GroupContext;
  readonly #onDue: () => void;
  /** When a partition was last read of, by the monotonic clock; since the session began where it was not. */
  readonly #readMs = new Map<string, number>();
  readonly #beganMs: number;
  readonly #markedMs = new Map<string, number>();
  /** Topics of which a partition has as many marks as there may be. */
  readonly #full = new Set<string>();
  /** Topics whose watermark views wait for. Marks are for them: without one nobody's records need be later than they are. */
  #asked: ReadonlySet<string> = new Set();
  #due = false;
  #timer: Timer | null = null;
  #closed = false;

  /** `onDue` is called when `step` has something to do. */
  constructor(context: GroupContext, onDue: () => void) {
    this.#context = context;
    this.#onDue = onDue;
    this.#beganMs = context.settings.clock.monotonicMs();
  }

  get due(): boolean {
    return this.#due && !this.#closed;
  }

  /** Where watermarks go with a batch that brings the group so far. */
  moves(advance: Advance): WatermarkMove[] {
    const { watermarks } = this.#context.state;
    return this.#topics().flatMap(({ topic, ...rest }) => {
      const toMs = leastReach(this.#reaches({ topic, ...rest }, advance));
      const atMs = watermarks.get(topic);
      if (toMs === null || (atMs !== undefined && toMs <= atMs)) return [];
      return [{ topic, toMs, far: atMs === undefined || toMs - atMs > farMs }];
    });
  }

  /** The batch was committed, and readers know of it. */
  applied(advance: Advance, moves: readonly WatermarkMove[]): void {
    const { state, settings } = this.#context;
    for (const place of advance.to.keys()) this.#readMs.set(place, settings.clock.monotonicMs());
    for (const { topic, toMs } of moves) state.watermarks.set(topic, toMs);
    this.#look();
  }

  /** What counts for the records of a partition. */
  marks(topic: string, partition: number): readonly Mark[] {
    const { settings, state, owner } = this.#context;
    const id = state.positions.get(placeOf(topic, partition))?.topicId ?? settings.engine.topic(topic)?.id;
    return id === undefined ? [] : owner.marks(id, partition);
  }

  /** Before partitions are read on from the store's positions: none of them begins behind the watermark. */
  async admit(): Promise<void> {
    const { state } = this.#context;
    for (const one of this.#topics()) {
      const atMs = state.watermarks.get(one.topic);
      if (atMs === undefined || !this.#asked.has(one.topic)) continue;
      for (const [partition, { ms }] of this.#reaches(one).entries()) {
        if (ms !== null && ms >= atMs) continue;
        await this.#mark(one, partition, state.positions.get(placeOf(one.topic, partition))?.nextOffset ?? 0, atMs);
      }
    }
    this.#look();
  }

  /** Between two batches: leaves out partitions that are idle. Whether a watermark is to move now, without rows. */
  async step(inputs: Inputs): Promise<boolean> {
    if (!this.due) return false;
    this.#due = false;
    const { settings } = this.#context;
    for (const one of this.#topics()) {
      const plan = this.#plan(one);
      if (plan === null || plan.partitions.length === 0 || this.#restMs(one.topic) > 0) continue;
      this.#markedMs.set(one.topic, settings.clock.monotonicMs());
      for (const partition of plan.partitions) {
        await inputs.whileStill(one.topic, partition, (offset) => this.#markAt(one, partition, offset, plan.toMs));
      }
    }
    const moves = this.moves(nothing).length > 0;
    if (!moves) this.#look();
    return moves;
  }

  /** The views were planned anew. */
  replan(): void {
    this.#asked = new Set(this.#context.state.compiledViews().flatMap(({ clock }) => clock?.topics ?? []));
    this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #topics(): WatermarkedTopic[] {
    const { settings, state } = this.#context;
    return state.filledMirrors().flatMap(({ shape: { topic, watermark: rule } }) => {
      const info = rule && settings.engine.topic(topic);
      const topicId = state.positions.get(placeOf(topic))?.topicId ?? info?.id;
      if (rule === undefined || info === undefined || topicId !== info.id) return [];
      return [{ topic, topicId, partitions: info.settings.partitions, rule }];
    });
  }

  #reaches({ topic, topicId, partitions, rule }: WatermarkedTopic, { to, times } = nothing): Reach[] {
    const { state, owner, settings } = this.#context;
    const nowMs = settings.clock.monotonicMs();
    return Array.from({ length: partitions }, (_, partition): Reach => {
      const place = placeOf(topic, partition);
      const known = state.positions.get(place);
      const latestMs = times.get(place) ?? known?.latestEventMs ?? null;
      const marked = markedMs(owner.marks(topicId, partition), to.get(place) ?? known?.nextOffset ?? 0);
      const told = watermarkMs({ latestMs }, rule);
      const ms = told === null || marked === null ? (told ?? marked) : Math.max(told, marked);
      return { ms, quietMs: nowMs - (this.#readMs.get(place) ?? this.#beganMs) };
    });
  }

  /** Null where nobody asks for the watermark, or partitions are never idle. */
  #plan(one: WatermarkedTopic): IdlePlan | null {
    const { idleMs = defaultIdleMs } = one.rule;
    return idleMs === null || !this.#asked.has(one.topic) ? null : planIdle(this.#reaches(one), idleMs);
  }

  #restMs(topic: string): number {
    const markedMs = this.#markedMs.get(topic);
    return markedMs === undefined ? 0 : markedMs + markEveryMs - this.#context.settings.clock.monotonicMs();
  }

  /** What was read up to is what the store has: else there is more to be written first. */
  async #markAt(one: WatermarkedTopic, partition: number, offset: number, ms: number): Promise<void> {
    const { state } = this.#context;
    if ((state.positions.get(placeOf(one.topic, partition))?.nextOffset ?? 0) !== offset) return;
    await this.#mark(one, partition, offset, ms);
  }

  async #mark({ topic, topicId }: WatermarkedTopic, partition: number, offset: number, ms: number): Promise<void> {
    const { owner, settings } = this.#context;
    const { logStart } = await settings.engine.offsets(topic, partition);
    const marks = withMark(owner.marks(topicId, partition), { offset, ms }, logStart);
    if (marks === null) {
      if (this.#full.has(topic)) return;
      this.#full.add(topic);
      settings.diagnostics.warn("a partition was idle too often to be left out; its topic's watermark waits for it", {
        topic,
        partition,
      });
    } else await owner.mark(topicId, partition, marks);
  }

  /** Whether there is something to do, and when there may be next. */
  #look(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed) return;
    let afterMs = this.moves(nothing).length > 0 ? 0 : Number.POSITIVE_INFINITY;
    for (const one of this.#topics()) {
      const plan = this.#plan(one);
      if (plan === null) continue;
      if (plan.partitions.length > 0) afterMs = Math.min(afterMs, Math.max(0, this.#restMs(one.topic)));
      else if (plan.afterMs !== null) afterMs = Math.min(afterMs, plan.afterMs);
    }
    if (afterMs === Number.POSITIVE_INFINITY) return;
    if (afterMs > 0) {
      this.#timer = this.#context.settings.clock.after(Math.ceil(afterMs), () => this.#look());
      return;
    }
    this.#due = true;
    this.#onDue();
  }
}

/** An advance that brings the group nowhere. */
const nothing: Advance = timePasses.advance;
