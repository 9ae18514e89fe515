/** A registry over a real log on a simulated disk, for tests. */
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { RegistryLimits } from "./registry-decisions.ts";
import { SchemaRegistry } from "./schema-registry.ts";
import type { SchemaText } from "./schema-texts.ts";

export interface OpenRegistry {
  readonly disk: SimulatedDisk;
  readonly engine: EmbeddedEngine;
  readonly registry: SchemaRegistry;
  /** Another process's registry over the same log. */
  another(): Promise<SchemaRegistry>;
  [Symbol.asyncDispose](): Promise<void>;
}

const clock = new VirtualClock();

export async function openRegistry(
  disk = new SimulatedDisk(seededRandom(1)),
  options: { readonly limits?: Partial<RegistryLimits>; readonly diagnostics?: Diagnostics } = {},
): Promise<OpenRegistry> {
  const { diagnostics = silentDiagnostics, limits = {} } = options;
  const engine = await openEmbeddedEngine({ disk, directory: "/log", clock, random: seededRandom(2), diagnostics });
  const open = () => SchemaRegistry.open({ engine, clock, diagnostics, limits });
  const opened = [await open()];
  return {
    disk,
    engine,
    registry: opened[0] as SchemaRegistry,
    async another() {
      const registry = await open();
      opened.push(registry);
      return registry;
    },
    async [Symbol.asyncDispose]() {
      for (const registry of opened) await registry.close();
      await engine.close();
    },
  };
}

/** A record of Avro with these fields, `name?` having a default. */
export function avro(...fields: readonly string[]): SchemaText {
  const text = JSON.stringify({
    type: "record",
    name: "Order",
    fields: fields.map((name) =>
      name.endsWith("?") ? { name: name.slice(0, -1), type: "string", default: "" } : { name, type: "string" },
    ),
  });
  return { type: "AVRO", text, references: [] };
}

export function json(schema: unknown): SchemaText {
  return { type: "JSON", text: JSON.stringify(schema), references: [] };
}
