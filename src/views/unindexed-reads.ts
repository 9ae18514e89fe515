/** The last reads of each view that no index served, counted by what they were by. Memory is bounded: the oldest go. */
import type { LiveView } from "./live-view.ts";
import { smallRowsMax, unindexedRead } from "./read-access.ts";
import type { RowQuery, UnindexedRead } from "./view-info.ts";

export interface CountedRead extends UnindexedRead {
  readonly count: number;
}

type Version = Pick<LiveView, "name" | "version" | "hash">;
type ReadVersion = Version & Parameters<typeof unindexedRead>[0];

const kindsMax = 20;
const viewsMax = 1_000;

export class UnindexedReads {
  readonly #rowsOf: (view: string) => number;
  readonly #views = new Map<string, { readonly of: string; readonly reads: Map<string, CountedRead> }>();

  /** `rowsOf` estimates. */
  constructor(rowsOf: (view: string) => number) {
    this.#rowsOf = rowsOf;
  }

  /** What is to be said of a read that was answered, as a member of its answer. */
  look(version: ReadVersion, query: RowQuery): { readonly unindexed?: UnindexedRead } {
    const unindexed = unindexedRead(version, query);
    if (unindexed === null || this.#rowsOf(version.name) <= smallRowsMax) return {};
    this.#note(version, unindexed);
    return { unindexed };
  }

  /** Another version of the view may have other indexes, and is counted from the beginning. */
  #note(version: Version, read: UnindexedRead): void {
    const of = versionText(version);
    const known = this.#views.get(version.name);
    const reads = known?.of === of ? known.reads : new Map<string, CountedRead>();
    this.#views.delete(version.name);
    this.#views.set(version.name, { of, reads });
    const kind = JSON.stringify([read.filtered, read.ordered, read.option]);
    const count = (reads.get(kind)?.count ?? 0) + 1;
    reads.delete(kind);
    reads.set(kind, { ...read, count });
    dropOldest(reads, kindsMax);
    dropOldest(this.#views, viewsMax);
  }

  /** The latest first. */
  of(version: Version): readonly CountedRead[] {
    const known = this.#views.get(version.name);
    return known?.of === versionText(version) ? [...known.reads.values()].reverse() : [];
  }
}

function versionText({ version, hash }: Version): string {
  return `${version} ${hash}`;
}

function dropOldest(map: Map<string, unknown>, max: number): void {
  const [oldest] = map.keys();
  if (map.size > max && oldest !== undefined) map.delete(oldest);
}
