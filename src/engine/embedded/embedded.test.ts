import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import type { Disk } from "../../base/disk.ts";
import { seededRandom } from "../../base/random.ts";
import { realDisk } from "../../base/real-disk.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { type EngineFixture, engineSuite } from "../engine.suite.ts";
import { openEmbeddedEngine } from "./embedded-engine.ts";

async function fixture(disk: Disk, directory: string, remove: () => Promise<void>): Promise<EngineFixture> {
  const random = seededRandom(1);
  const open = () =>
    openEmbeddedEngine({ disk, directory, clock: systemClock, random, diagnostics: silentDiagnostics });
  let engine = await open();
  return {
    engine,
    async reopen() {
      await engine.close();
      engine = await open();
      return engine;
    },
    async dispose() {
      await engine.close();
      await remove();
    },
  };
}

engineSuite("embedded, on the real disk", async () => {
  const directory = await mkdtemp(join(tmpdir(), "millrace-engine-"));
  return fixture(realDisk, join(directory, "log"), () => rm(directory, { recursive: true }));
});

engineSuite("embedded, on the simulated disk", () =>
  fixture(new SimulatedDisk(seededRandom(2)), "/data/log", async () => {}),
);
