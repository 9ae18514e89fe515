/** The log and its Kafka door alone in a process: `broker-child.ts <data folder> <port>`. Tells its parent when it answers. */
import { systemClock } from "../../../src/base/clock.ts";
import { countBuffersWithHeap } from "../../../src/base/collector.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { silentMetrics } from "../../../src/base/metrics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { openBrokerDoor } from "../../../src/broker/broker-door.ts";
import { openDoorSecurity } from "../../../src/broker/door-security.ts";
import { CatalogueTopic } from "../../../src/catalog/catalogue-topic.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";

countBuffersWithHeap();
const [directory = "", port = "0"] = process.argv.slice(2);
const tools = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
const engine = await openEmbeddedEngine({ ...tools, disk: realDisk, directory });
const catalogue = await CatalogueTopic.open({ ...tools, engine });
const security = await openDoorSecurity(catalogue, tools);
const door = await openBrokerDoor({
  ...tools,
  engine,
  security,
  metrics: silentMetrics,
  settings: {
    listeners: [
      {
        name: "PLAINTEXT",
        protocol: "PLAINTEXT",
        host: "127.0.0.1",
        port: Number(port),
        advertised: { host: null, port: null },
      },
    ],
    tls: null,
    autoCreateTopics: true,
    partitionsDefault: 1,
    logDirectory: directory,
    // As the real Kafka of tests has it: nobody else joins.
    groups: { initialRebalanceDelayMs: 0 },
  },
});
process.on("SIGTERM", async () => {
  await door.close();
  security.close();
  await catalogue.close();
  await engine.close();
  process.exit(0);
});
// A parent that is gone kills nobody.
process.on("disconnect", () => process.exit(1));
process.send?.({ port: door.addresses.get("PLAINTEXT")?.port });
