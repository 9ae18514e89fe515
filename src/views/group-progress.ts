/**
 * Where the group stands, between the store and its readers: an advance is written with what it brought about, and
 * readers are told of it after that. One without rows is told at once, and written with the next transaction.
 */
import type { Engine } from "../engine/engine.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { type SourceRow, writePositions, writeSource } from "./bookkeeping.ts";
import type { GroupState } from "./group-state.ts";
import type { Advance } from "./inputs.ts";
import { partitionOf, type StoredPosition } from "./positions.ts";

export class GroupProgress {
  readonly #group: string;
  readonly #engine: Engine;
  readonly #state: GroupState;
  readonly #unwrittenPlaces = new Set<string>();
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
    const places = new Set([...this.#unwrittenPlaces, ...(advance?.to.keys() ?? [])]);
    const sources = new Set([...this.#unwrittenSources, ...(advance?.lsns.keys() ?? [])]);
    const positions = [...places].flatMap((place) => this.#position(place, advance) ?? []);
    const rows = [...sources].flatMap((source) => this.#source(source, advance) ?? []);
    return [...writePositions(this.#group, positions), ...rows.map((row) => writeSource(this.#group, row))];
  }

  /** The statements of `write` were committed. */
  written(advance?: Advance): void {
    this.#unwrittenPlaces.clear();
    this.#unwrittenSources.clear();
    this.#unwrittenEvents = 0;
    if (advance) this.#tell(advance);
  }

  /** An advance without rows. */
  skip(advance: Advance): void {
    for (const place of advance.to.keys()) this.#unwrittenPlaces.add(place);
    for (const source of advance.lsns.keys()) this.#unwrittenSources.add(source);
    this.#unwrittenEvents += advance.events;
    this.#tell(advance);
  }

  #tell(advance: Advance): void {
    const { positions, sources, progress } = this.#state;
    for (const place of advance.to.keys()) {
      const position = this.#position(place, advance);
      if (position) positions.set(place, position);
    }
    for (const source of advance.lsns.keys()) {
      const row = this.#source(source, advance);
      if (row) sources.set(source, row);
    }
    for (const [source, rows] of advance.progress) progress.set(source, rows);
  }

  #position(place: string, advance: Advance | undefined): StoredPosition | undefined {
    const known = this.#state.positions.get(place);
    const nextOffset = advance?.to.get(place);
    if (nextOffset === undefined) return known;
    const { topic, partition } = partitionOf(place);
    // What was read is of the topic that it was begun with, whatever has its name by now.
    const topicId = known?.topicId ?? this.#engine.topic(topic)?.id;
    if (topicId === undefined) return known;
    const leaderEpoch = this.#engine.leaderEpoch(topic, partition);
    const { baseOffset = 0 } = known ?? {};
    const latestEventMs = advance?.times.get(place) ?? known?.latestEventMs ?? null;
    return { topic, topicId, partition, nextOffset, leaderEpoch, baseOffset, latestEventMs };
  }

  #source(source: string, advance: Advance | undefined): SourceRow | undefined {
    const known = this.#state.sources.get(source);
    const lsn = advance?.lsns.get(source);
    return known && lsn !== undefined ? { ...known, lsn } : known;
  }
}
