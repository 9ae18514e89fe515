/** All sources of the process: opened from definitions, replaced when a definition changes, stopped together. */
import type { MillraceError } from "../base/errors.ts";
import type { Definition, SourceDefinition } from "../catalog/definitions.ts";
import type { LeftSources } from "./left-sources.ts";
import { appendOnlyPublication } from "./names.ts";
import type { RetryResult } from "./retry.ts";
import type { Source, SourceStatus } from "./source.ts";

interface Open {
  readonly definition: SourceDefinition;
  readonly source: Source;
}

export class Sources {
  readonly #open: (definition: SourceDefinition) => Source;
  readonly #left: LeftSources | null;
  readonly #sources = new Map<string, Open>();

  constructor(open: (definition: SourceDefinition) => Source, left: LeftSources | null = null) {
    this.#open = open;
    this.#left = left;
  }

  list(): SourceStatus[] {
    const all = [...this.#sources.values()].map(({ source }) => source.status());
    return [...all.map((status) => withoutOurs(status, all)), ...(this.#left?.list() ?? [])];
  }

  status(name: string): SourceStatus | undefined {
    return this.list().find((status) => status.name === name) ?? this.#left?.status(name);
  }

  /** The first refusal that a source met when the process began; null when there was none. */
  refusedAtStart(): MillraceError | null {
    for (const { source } of this.#sources.values()) {
      const refusal = source.refusedAtStart();
      if (refusal !== null) return refusal;
    }
    return null;
  }

  /** The source that a reader waits for writes how far it has come. Unknown names are passed over. */
  catchUp(name: string): void {
    void this.#sources.get(name)?.source.catchUp();
  }

  /** Where its end is now; undefined when there is no source of this name. Throws `SOURCE_UNREACHABLE`. */
  async end(name: string): Promise<string | undefined> {
    return await this.#sources.get(name)?.source.end();
  }

  /** Begins a new snapshot; false when there is no source of this name. */
  resnapshot(name: string): boolean {
    const found = this.#sources.get(name);
    found?.source.resnapshot();
    return found !== undefined;
  }

  /** Reads one table anew; false when there is no source of this name. Throws what `Source.readTable` throws. */
  async readTable(name: string, table: string): Promise<boolean> {
    const found = this.#sources.get(name);
    await found?.source.readTable(table);
    return found !== undefined;
  }

  /** Tries what was set aside once more; undefined when there is no source of this name. Throws `SOURCE_UNREACHABLE`. */
  async retry(name: string): Promise<RetryResult | undefined> {
    return await this.#sources.get(name)?.source.retry();
  }

  /** Goes on from where the server is; false when there is no source of this name. */
  adopt(name: string): boolean {
    const found = this.#sources.get(name);
    found?.source.adopt();
    return found !== undefined;
  }

  /**
   * Stops it until `resume`, in the log as well. A removal is also of one that is in the module no more, whose database is at
   * `url`. False when there is no source of this name; throws what the log throws, and what `LeftSources.remove` throws.
   */
  async hold(
    name: string,
    kind: "paused" | "removed",
    slot: "keep" | "drop",
    url: string | null = null,
  ): Promise<boolean> {
    const found = this.#sources.get(name);
    if (found === undefined && kind === "removed") return (await this.#left?.remove(name, slot, url)) ?? false;
    await found?.source.hold(kind, slot);
    return found !== undefined;
  }

  /** False when there is no source of this name; throws what the log throws. */
  async resume(name: string): Promise<boolean> {
    const found = this.#sources.get(name);
    await found?.source.resume();
    return found !== undefined;
  }

  /** Starts what is new, replaces what is defined otherwise, stops what is gone (`release` gives its slot up). */
  async apply(definitions: readonly Definition[], options: { readonly release: boolean }): Promise<void> {
    const wanted = new Map(definitions.filter((one) => one.kind === "source").map((one) => [one.name, one]));
    for (const [name, open] of this.#sources) {
      const now = wanted.get(name);
      if (now && same(now, open.definition)) continue;
      this.#sources.delete(name);
      await open.source.stop({ release: options.release && !now });
    }
    for (const [name, definition] of wanted) {
      if (this.#sources.has(name)) continue;
      const source = this.#open(definition);
      this.#sources.set(name, { definition, source });
      source.start();
    }
    await this.#left?.look([...wanted.values()]);
  }

  /** With `release`, sources that do not keep their slot give it up. */
  async stop(options: { readonly release: boolean }): Promise<void> {
    const all = [...this.#sources.values()];
    this.#sources.clear();
    await Promise.all(
      all.map(({ definition, source }) => source.stop({ release: options.release && !definition.keepSlot })),
    );
  }
}

/** What belongs to another source of this process is no orphan, although nobody reads it at the moment. */
function withoutOurs(status: SourceStatus, all: readonly SourceStatus[]): SourceStatus {
  if (status.orphans.length === 0) return status;
  const ours = new Set(all.flatMap(({ slot }) => (slot === null ? [] : [slot, appendOnlyPublication(slot)])));
  return { ...status, orphans: status.orphans.filter(({ name }) => !ours.has(name)) };
}

function same(a: SourceDefinition, b: SourceDefinition): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
