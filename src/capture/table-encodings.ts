/**
 * The encodings of a source's tables. Always true: a table is captured in a shape only when that shape's schemas are
 * registered, so that no record stands in the log before what it is read with.
 */
import { invariant } from "../base/errors.ts";
import type { PostgresDefinition } from "../catalog/definitions.ts";
import type { EventEncoding, WireEncodingName } from "../schema/registry/event-encoding.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";

/** What a source needs of a registry. */
export interface SchemaHouse {
  /** Registers the schemas of a table as it is; what it has become is not asked for. Throws `SOURCE_SCHEMA_UNREGISTERED`. */
  encodingOf(shape: TableShape, encoding: WireEncodingName): Promise<EventEncoding>;
  readonly wire: WireReader;
}

export class TableEncodings {
  readonly #encoding: PostgresDefinition["encoding"];
  readonly #house: SchemaHouse | undefined;
  readonly #byShape = new WeakMap<TableShape, EventEncoding>();

  constructor(definition: Pick<PostgresDefinition, "encoding">, house: SchemaHouse | undefined) {
    this.#encoding = definition.encoding;
    this.#house = house;
  }

  /** Before a table is captured in a shape. */
  async prepare(shapes: readonly TableShape[]): Promise<void> {
    if (this.#encoding === "json") return;
    invariant(this.#house !== undefined, "a source with schemas has a registry");
    for (const shape of shapes) {
      if (!this.#byShape.has(shape)) this.#byShape.set(shape, await this.#house.encodingOf(shape, this.#encoding));
    }
  }

  /** Null where events are JSON. */
  of(shape: TableShape): EventEncoding | null {
    if (this.#encoding === "json") return null;
    const encoding = this.#byShape.get(shape);
    invariant(encoding !== undefined, "a shape is prepared before it is captured");
    return encoding;
  }
}
