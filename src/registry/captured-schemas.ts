/**
 * Schemas of captured tables: those of their events and keys, registered below `<topic>-value` and `<topic>-key`.
 *
 * What a table has become is not asked for: its schemas are registered however they differ from the ones before. Where
 * events are JSON they tell nothing that is needed: tables are noted whenever they are met or have changed, capture never waits, and
 * what cannot be registered is told and stops nothing. In another encoding each record names its schema, so that a table is
 * captured only when its schemas are registered (`encodingOf`).
 */
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import {
  type EventEncoding,
  type EventEncodingName,
  eventEncoding,
  tableSchemas,
  type WireEncodingName,
} from "../schema/registry/event-encoding.ts";
import type { SchemaType } from "../schema/registry/parsed-schema.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { RegistryReader } from "./registry-reader.ts";
import type { SchemaRegistry } from "./schema-registry.ts";
import { subjectOfKeys, subjectOfValues } from "./topic-schemas.ts";

export class CapturedSchemas {
  readonly wire: RegistryReader;
  readonly #registry: SchemaRegistry;
  readonly #diagnostics: Diagnostics;
  /** The newest shape of each topic that waits: there are as many as tables. */
  readonly #waiting = new Map<string, TableShape>();
  #working: Promise<void> | null = null;

  constructor(options: { readonly registry: SchemaRegistry; readonly diagnostics?: Diagnostics }) {
    this.#registry = options.registry;
    this.#diagnostics = options.diagnostics ?? silentDiagnostics;
    this.wire = new RegistryReader(options.registry);
  }

  /** Takes note of tables as they are now, whose events are JSON. */
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

  /** Registers what the table's records are written with. Throws `SOURCE_SCHEMA_UNREGISTERED`. */
  async encodingOf(shape: TableShape, encoding: WireEncodingName): Promise<EventEncoding> {
    try {
      return eventEncoding(shape, encoding, await this.#registerTable(shape, encoding));
    } catch (cause) {
      const { topic } = shape;
      const { message, hint } = MillraceError.from(cause);
      throw new MillraceError("SOURCE_SCHEMA_UNREGISTERED", `the schemas of topic "${topic}": ${message}`, {
        hint: hint ?? 'Capture goes on by itself when they can be; encoding: "json" needs none.',
        cause,
        details: { topic },
      });
    }
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    for (let next = this.#next(); next; next = this.#next()) {
      const { topic } = next;
      try {
        await this.#registerTable(next, "json");
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

  /** The ids; that of the value stands for a key that there is none of, which nothing is written with. */
  async #registerTable(
    shape: TableShape,
    encoding: EventEncodingName,
  ): Promise<{ readonly value: number; readonly key: number }> {
    const schemas = tableSchemas(shape, encoding);
    const value = await this.#register(subjectOfValues(shape.topic), schemas.type, schemas.value);
    if (schemas.key === null) return { value, key: value };
    return { value, key: await this.#register(subjectOfKeys(shape.topic), schemas.type, schemas.key) };
  }

  async #register(subject: string, type: SchemaType, text: string): Promise<number> {
    const schema = { type, text, references: [] };
    const { id } = await this.#registry.register(subject, schema, { normalize: true, exempt: () => true });
    return id;
  }
}
