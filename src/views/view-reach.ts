/**
 * How far views are that are recomputed whole. One that is behind is its query of an earlier batch, and so of earlier
 * positions of its sources; all others are where the group is.
 */
import type { CompiledView } from "./compiled-view.ts";
import type { Reached } from "./group-waits.ts";
import { placeOf } from "./positions.ts";
import type { GroupPosition } from "./view-info.ts";

/** What the rows of a view show that is behind. */
export interface Behind {
  readonly batch: number;
  /** Of each source, as of that batch; null where this process does not know. */
  readonly lsns: ReadonlyMap<string, string | null> | null;
  /** Next offsets by place, as of that batch. */
  readonly offsets: ReadonlyMap<string, number> | null;
}

export interface GroupReached extends Reached {
  lsns(): ReadonlyMap<string, string | null>;
  offsets(): ReadonlyMap<string, number>;
  /** Sources whose rows a view reads. */
  sourcesOf(view: CompiledView): readonly string[];
  topicsOf(view: CompiledView): readonly string[];
}

export class ViewReaches {
  readonly #group: GroupReached;
  readonly #behind = new Map<string, { readonly view: CompiledView; readonly at: Behind }>();

  constructor(group: GroupReached) {
    this.#group = group;
  }

  /** What the store says of a version that can be read; `batch` is null where it is not behind. */
  stored(view: CompiledView, batch: number | null): void {
    const known = this.#behind.get(view.name);
    if (batch === null) this.#behind.delete(view.name);
    else {
      const same = known?.view.version === view.version && known.at.batch === batch;
      this.#behind.set(view.name, { view, at: same ? known.at : { batch, lsns: null, offsets: null } });
    }
  }

  /** A batch that is not told yet, the one after this position, changed what the view reads. */
  fell(view: CompiledView): void {
    if (this.#behind.has(view.name)) return;
    const { position } = this.#group;
    const at = { batch: position.batch, lsns: this.#group.lsns(), offsets: this.#group.offsets() };
    this.#behind.set(view.name, { view, at });
  }

  /** It was computed anew; `at` is null where nothing that it reads has changed since. */
  computed(view: CompiledView, at: Behind | null): void {
    if (at === null) this.#behind.delete(view.name);
    else this.#behind.set(view.name, { view, at });
  }

  /** Those that cannot be read any more are where the group is. */
  keep(views: readonly CompiledView[]): void {
    for (const [name, { view }] of this.#behind) {
      if (!views.some((one) => one.name === name && one.version === view.version)) this.#behind.delete(name);
    }
  }

  get anyBehind(): boolean {
    return this.#behind.size > 0;
  }

  isBehind(view: string): boolean {
    return this.#behind.has(view);
  }

  positionOf(view: string): GroupPosition {
    const { generation, batch } = this.#group.position;
    return { generation, batch: this.#behind.get(view)?.at.batch ?? batch };
  }

  /** As it is whenever it is asked. */
  of(view: string): Reached {
    const reaches = this;
    return {
      get position() {
        return reaches.positionOf(view);
      },
      lsn: (source) => reaches.#lsn(view, source),
      offset: (topic, partition) => reaches.#offset(view, topic, partition),
    };
  }

  #offset(name: string, topic: string, partition: number): number | null {
    const behind = this.#behind.get(name);
    if (behind === undefined || !this.#group.topicsOf(behind.view).includes(topic)) {
      return this.#group.offset(topic, partition);
    }
    return behind.at.offsets?.get(placeOf(topic, partition)) ?? 0;
  }

  #lsn(name: string, source: string): string | null {
    const behind = this.#behind.get(name);
    if (behind === undefined || !this.#group.sourcesOf(behind.view).includes(source)) return this.#group.lsn(source);
    return behind.at.lsns?.get(source) ?? null;
  }
}
