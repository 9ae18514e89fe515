/** All sources of the process: opened from definitions, replaced when a definition changes, stopped together. */
import type { Definition, SourceDefinition } from "../catalog/definitions.ts";
import type { Source, SourceStatus } from "./source.ts";

interface Open {
  readonly definition: SourceDefinition;
  readonly source: Source;
}

export class Sources {
  readonly #open: (definition: SourceDefinition) => Source;
  readonly #sources = new Map<string, Open>();

  constructor(open: (definition: SourceDefinition) => Source) {
    this.#open = open;
  }

  list(): SourceStatus[] {
    return [...this.#sources.values()].map(({ source }) => source.status());
  }

  status(name: string): SourceStatus | undefined {
    return this.#sources.get(name)?.source.status();
  }

  /** The source that a reader waits for writes how far it has come. Unknown names are passed over. */
  catchUp(name: string): void {
    void this.#sources.get(name)?.source.catchUp();
  }

  /** Begins a new snapshot; false when there is no source of this name. */
  resnapshot(name: string): boolean {
    const found = this.#sources.get(name);
    found?.source.resnapshot();
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

function same(a: SourceDefinition, b: SourceDefinition): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
