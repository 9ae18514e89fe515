/** Reads bytes in the wire format with the schemas that are registered. */
import { readWire } from "../schema/registry/wire.ts";
import { readWireJson, type WireReader, type WireReading } from "../schema/registry/wire-reader.ts";
import type { SchemaRegistry } from "./schema-registry.ts";

export class RegistryReader implements WireReader {
  readonly #registry: SchemaRegistry;

  constructor(registry: SchemaRegistry) {
    this.#registry = registry;
  }

  read(bytes: Buffer): WireReading | null {
    try {
      return readWireJson(bytes, (id) => this.#registry.parsed(id));
    } catch (cause) {
      // What the schema was built on was erased.
      return { ok: false, reason: cause instanceof Error ? cause.message : String(cause) };
    }
  }

  unread(bytes: Buffer | null): Promise<void> | null {
    // Most values are none, and are told by their first byte.
    if (bytes === null || bytes[0] !== 0) return null;
    const wire = readWire(bytes);
    if (wire === null || this.#registry.state.schema(wire.id) !== undefined) return null;
    // A registry that cannot be read leaves the id unknown, which is told with the value.
    return this.#registry.readToEnd().catch(() => undefined);
  }
}
