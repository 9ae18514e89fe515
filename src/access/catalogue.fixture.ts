/** A catalogue without a log, for tests of what stands in it: changes hold at once, all of a call together. */
import type { CatalogueChange } from "../catalog/catalogue-records.ts";
import type { Catalogue, CatalogueListener } from "../catalog/catalogue-topic.ts";

export class MemoryCatalogue implements Catalogue {
  readonly #entries = new Map<string, Map<string, unknown>>();
  readonly #listeners: { readonly kind: string; readonly listener: CatalogueListener }[] = [];

  get(kind: string, key: string): unknown {
    return this.#entries.get(kind)?.get(key);
  }

  list(kind: string): ReadonlyMap<string, unknown> {
    return this.#entries.get(kind) ?? new Map();
  }

  onChange(kind: string, listener: CatalogueListener): () => void {
    const entry = { kind, listener };
    this.#listeners.push(entry);
    return () => void this.#listeners.splice(this.#listeners.indexOf(entry), 1);
  }

  put(kind: string, key: string, value: unknown): Promise<void> {
    return this.change([{ kind, key, value }]);
  }

  remove(kind: string, key: string): Promise<void> {
    return this.change([{ kind, key, value: undefined }]);
  }

  async change(changes: readonly CatalogueChange[]): Promise<void> {
    for (const { kind, key, value } of changes) {
      const entries = this.#entries.get(kind) ?? new Map<string, unknown>();
      this.#entries.set(kind, entries);
      if (value === undefined) entries.delete(key);
      // As it comes back from a log.
      else entries.set(key, JSON.parse(JSON.stringify(value)));
      for (const each of this.#listeners) {
        if (each.kind === kind) each.listener({ kind, key, value: entries.get(key) });
      }
    }
  }
}
