/** The log as it comes, on the real disk and clock: no benchmark has limits of its own. */
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import type { Disk } from "../../../src/base/disk.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";

/** Whoever opens it closes it. */
export function openLog(directory: string, disk: Disk = realDisk): Promise<Engine> {
  return openEmbeddedEngine({
    disk,
    directory,
    clock: systemClock,
    random: systemRandom,
    diagnostics: silentDiagnostics,
  });
}
