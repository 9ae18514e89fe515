/**
 * Schemas of captured tables: the JSON Schemas of their events and keys, registered below `<topic>-value` and
 * `<topic>-key` whenever a table is met, or has changed.
 *
 * What a table has become is not asked for: its schemas are registered however they differ from the ones before. Capture
 * never waits for it, and what cannot be registered is told and stops nothing.
 */
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { jsonEnvelopeSchema, jsonKeySchema } from "../schema/registry/table-schemas.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { SchemaRegistry } from "./schema-registry.ts";
import { subjectOfKeys, subjectOfValues } from "./topic-schemas.ts";

export class CapturedSchemas {
  readonly #registry: SchemaRegistry;
  readonly #diagnostics: Diagnostics;
  /** The newest shape of each topic that waits: there are as many as tables. */
  readonly #waiting = new Map<string, TableShape>();
  #working: Promise<void> | null = null;

  constructor(options: { readonly registry: SchemaRegistry; readonly diagnostics?: Diagnostics }) {
    this.#registry = options.registry;
    this.#diagnostics = options.diagnostics ?? silentDiagnostics;
  }

  /** Takes note of tables as they are now. */
  note(shapes: readonly TableShape[]): void {
    for (const shape of shapes) this.#waiting.set(shape.topic, shape);
    this.#working ??= this.#work().finally(() => {
      this.#working = null;
    });
  }

  /** Resolves when nothing waits. */
  async settled(): Promise<void> {
    while (this.#working) await this.#working;
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    for (let next = this.#next(); next; next = this.#next()) {
      const { topic } = next;
      try {
        await this.#register(subjectOfValues(topic), jsonEnvelopeSchema(next));
        const key = jsonKeySchema(next);
        if (key !== null) await this.#register(subjectOfKeys(topic), key);
      } catch (cause) {
        if (MillraceError.is(cause, "SHUTTING_DOWN")) return;
        this.#diagnostics.warn("the schema of a captured table could not be registered", {
          topic,
          cause: String(cause),
        });
      }
    }
  }

  #next(): TableShape | undefined {
    const [next] = this.#waiting.values();
    if (next) this.#waiting.delete(next.topic);
    return next;
  }

  async #register(subject: string, text: string): Promise<void> {
    await this.#registry.register(
      subject,
      { type: "JSON", text, references: [] },
      { normalize: true, exempt: () => true },
    );
  }
}
