/**
 * Where the group stands, between the store and its readers: an advance is written with what it brought about, and
 * readers are told of it after that. One without rows is told at once, and written with the next transaction.
 */
import type { Engine } from "../engine/engine.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { type SourceRow, writePositions, writeSource } from "./bookkeeping.ts";
import type { GroupState } from "./group-state.ts";
import type { Advance } from "./inputs.ts";
import type { StoredPosition } from "./positions.ts";

export class GroupProgress {
  readonly #group: string;
  readonly #engine: Engine;
  readonly #state: GroupState;
  readonly #unwrittenTopics = new Set<string>();
  readonly #unwrittenSources = new Set<string>();
  #unwrittenEvents = 0;

  constructor(group: string, engine: Engine, state: GroupState) {
    this.#group = group;
    this.#engine = engine;
    this.#state = state;
  }

  /** Events of transaction topics that readers know of and the store does not. */
  get unwrittenEvents(): number {
    return this.#unwrittenEvents;
  }

  /** Statements that bring the store to this advance; without one, to what readers know. */
  write(advance?: Advance): PipelineStatement[] {
    const topics = new Set([...this.#unwrittenTopics, ...(advance?.to.keys() ?? [])]);
    const sources = new Set([...this.#unwrittenSources, ...(advance?.lsns.keys() ?? [])]);
    const positions = [...topics].flatMap((topic) => this.#position(topic, advance) ?? []);
    const rows = [...sources].flatMap((source) => this.#source(source, advance) ?? []);
    return [...writePositions(this.#group, positions), ...rows.map((row) => writeSource(this.#group, row))];
  }

  /** The statements of `write` were committed. */
  written(advance?: Advance): void {
    this.#unwrittenTopics.clear();
    this.#unwrittenSources.clear();
    this.#unwrittenEvents = 0;
    if (advance) this.#tell(advance);
  }

  /** An advance without rows. */
  skip(advance: Advance): void {
    for (const topic of advance.to.keys()) this.#unwrittenTopics.add(topic);
    for (const source of advance.lsns.keys()) this.#unwrittenSources.add(source);
    this.#unwrittenEvents += advance.events;
    this.#tell(advance);
  }

  #tell(advance: Advance): void {
    const { positions, sources, progress } = this.#state;
    for (const topic of advance.to.keys()) {
      const position = this.#position(topic, advance);
      if (position) positions.set(topic, position);
    }
    for (const source of advance.lsns.keys()) {
      const row = this.#source(source, advance);
      if (row) sources.set(source, row);
    }
    for (const [source, rows] of advance.progress) progress.set(source, rows);
  }

  #position(topic: string, advance: Advance | undefined): StoredPosition | undefined {
    const known = this.#state.positions.get(topic);
    const nextOffset = advance?.to.get(topic);
    if (nextOffset === undefined) return known;
    const topicId = this.#engine.topic(topic)?.id;
    if (topicId === undefined) return known;
    const leaderEpoch = this.#engine.leaderEpoch(topic, 0);
    return { topic, topicId, partition: 0, nextOffset, leaderEpoch, baseOffset: known?.baseOffset ?? 0 };
  }

  #source(source: string, advance: Advance | undefined): SourceRow | undefined {
    const known = this.#state.sources.get(source);
    const lsn = advance?.lsns.get(source);
    return known && lsn !== undefined ? { ...known, lsn } : known;
  }
}
