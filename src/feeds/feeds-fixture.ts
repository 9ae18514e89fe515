/** For tests of feeds: engines. */
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import type { Feed, Frame } from "./feed.ts";

export const engineWithoutTopics = { topic: () => undefined, topics: () => [] } as unknown as Engine;

export function openTestEngine(): Promise<Engine> {
  const random = seededRandom(7);
  const disk = new SimulatedDisk(seededRandom(8));
  return openEmbeddedEngine({
    disk,
    directory: "/data/log",
    clock: systemClock,
    random,
    diagnostics: silentDiagnostics,
  });
}

/** As if retention had removed what lies below `logStart` in every partition. */
export function retired(engine: Engine, logStart: number): Engine {
  return Object.assign(Object.create(engine) as Engine, {
    topic: (name: string) => engine.topic(name),
    offsets: (topic: string, partition: number) => ({ ...engine.offsets(topic, partition), logStart }),
    read: async (request: Parameters<Engine["read"]>[0]) => {
      if (request.offset < logStart) throw new MillraceError("OFFSET_OUT_OF_RANGE", "retired");
      return engine.read(request);
    },
  });
}

/** The next frame, which must come. */
export async function pull(feed: Feed): Promise<Frame> {
  const { value } = await feed.next();
  if (!value) throw new Error("the feed ended");
  return value;
}
