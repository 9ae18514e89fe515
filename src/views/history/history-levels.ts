/** In which order the views of a layout are brought forward: what reads the history of another comes after that one. Pure. */
import type { Layout } from "../applier-batch.ts";
import type { CompiledView } from "../compiled-view.ts";
import type { Followed } from "./history-changes.ts";

interface Levels {
  /** Histories by the level of their views. */
  readonly histories: readonly (readonly Followed[])[];
  readonly levelOf: (view: CompiledView) => number;
}

const known = new WeakMap<Layout, Levels>();

/** Histories that follow a live view, those first whose views read no other's. */
export function historyLevels(layout: Layout): readonly (readonly Followed[])[] {
  return levelsOf(layout).histories;
}

/** 0 for a view that reads no history. */
export function levelOf(layout: Layout, view: CompiledView): number {
  return levelsOf(layout).levelOf(view);
}

function levelsOf(layout: Layout): Levels {
  let levels = known.get(layout);
  if (levels === undefined) {
    levels = computed(layout);
    known.set(layout, levels);
  }
  return levels;
}

function computed({ mirrors, views }: Layout): Levels {
  const followed = new Map<number, Followed>();
  for (const [id, mirror] of mirrors) {
    const view = views.find((one) => one.history === true && one.name === mirror.shape.history?.view);
    if (view !== undefined) followed.set(id, { view, mirror });
  }
  // Histories are read in no circle: definitions that would be are refused.
  const levelOf = (view: CompiledView): number =>
    Math.max(
      0,
      ...view.uses.flatMap(({ mirrorId }) => {
        const below = followed.get(mirrorId);
        return below === undefined ? [] : [1 + levelOf(below.view)];
      }),
    );
  const histories: Followed[][] = [];
  for (const one of followed.values()) {
    const level = levelOf(one.view);
    while (histories.length <= level) histories.push([]);
    histories[level]?.push(one);
  }
  return { histories, levelOf };
}
