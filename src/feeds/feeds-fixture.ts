/** For tests of feeds that read no topic: an engine without topics. */
import type { Engine } from "../engine/engine.ts";

export const engineWithoutTopics = { topic: () => undefined, topics: () => [] } as unknown as Engine;
