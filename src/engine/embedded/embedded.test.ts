import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import type { Disk } from "../../base/disk.ts";
import { seededRandom } from "../../base/random.ts";
import { realDisk } from "../../base/real-disk.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type EngineFixture, nowMs } from "../engine.fixture.ts";
import { engineSuite } from "../engine.suite.ts";
import { openEmbeddedEngine } from "./embedded-engine.ts";

async function fixture(disk: Disk, directory: string, remove: () => Promise<void>): Promise<EngineFixture> {
  const random = seededRandom(1);
  const clock = new VirtualClock(nowMs);
  const open = () => openEmbeddedEngine({ disk, directory, clock, random, diagnostics: silentDiagnostics });
  let engine = await open();
  return {
    engine,
    clock,
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
