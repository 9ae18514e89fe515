/** For tests: schemas of captured tables by their ids, without a registry. The registry itself: `captured-schemas.test.ts`. */
import {
  type EventEncoding,
  eventEncoding,
  tableSchemas,
  type WireEncodingName,
} from "../schema/registry/event-encoding.ts";
import { parseSchema } from "../schema/registry/parse-schema.ts";
import type { ParsedSchema, SchemaType } from "../schema/registry/parsed-schema.ts";
import { readWireJson, type WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { SchemaHouse } from "./table-encodings.ts";

export class SchemaHouseFixture implements SchemaHouse {
  readonly #schemas: ParsedSchema[] = [];
  readonly wire: WireReader = {
    read: (bytes) => readWireJson(bytes, (id) => this.#schemas[id]),
    unread: () => null,
  };

  async encodingOf(shape: TableShape, encoding: WireEncodingName): Promise<EventEncoding> {
    const { type, value, key } = tableSchemas(shape, encoding);
    const ids = { value: this.#idOf(type, value), key: key === null ? 0 : this.#idOf(type, key) };
    return eventEncoding(shape, encoding, ids);
  }

  #idOf(type: SchemaType, text: string): number {
    const known = this.#schemas.findIndex((schema) => schema.text === text);
    return known < 0 ? this.#schemas.push(parseSchema(type, text)) - 1 : known;
  }
}
