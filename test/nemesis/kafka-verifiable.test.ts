import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findConfluentPython, kafkaMissing } from "../../tools/kafka-parts.ts";
import { judge } from "../support/kafka-laws.ts";
import { verifiableRun } from "./verifiable-run.ts";

const skip =
  kafkaMissing() ?? (findConfluentPython() === undefined ? "skipped: confluent-kafka could not be had" : false);

describe("Kafka's own client for Java and librdkafka, while the broker and they themselves are killed", {
  skip,
}, () => {
  const long = process.env.MILLRACE_SOAK === "1";
  const size = long
    ? { seconds: 600, killEveryMs: 15_000, clientEveryMs: 10_000, pauseMs: 10, fillerBytesMax: 32_000 }
    : { seconds: 20, killEveryMs: 3_500, clientEveryMs: 4_000, pauseMs: 5, fillerBytesMax: 32_000 };

  test("nothing acknowledged is lost, doubled or torn, groups never go back, and read everything", async (t) => {
    const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`seed ${seed}`);
    const history = await verifiableRun({ ...size, seed, say: (line) => t.diagnostic(line) });
    const breaches = judge(history);
    const first = breaches.slice(0, 20).map(({ law, words }) => `${law}: ${words}`);
    assert.equal(
      first.join("\n"),
      "",
      `${breaches.length} breaches; seed ${seed}\n${history.words.slice(-60).join("\n")}`,
    );
    // A run in which little happened proves little.
    assert.ok(history.acks.size > 1_000, `only ${history.acks.size} acknowledgements`);
    for (const outcome of ["committed", "aborted"]) {
      assert.ok([...history.outcomes.values()].includes(outcome as "committed"), `no transaction was ${outcome}`);
    }
    for (const group of history.groups) assert.ok(history.reads.some((each) => each.group === group));
  });

  test("a broker that forgets the newest part of its journal is found out", async (t) => {
    const harm = (data: string) => {
      const folder = join(data, "log", "journal");
      const newest = readdirSync(folder).sort().at(-1) as string;
      const bytes = readFileSync(join(folder, newest));
      const end = bytes.findLastIndex((byte) => byte !== 0);
      writeFileSync(join(folder, newest), bytes.fill(0, Math.floor(end / 2)));
    };
    const size = { seconds: 6, killEveryMs: 4_000, clientEveryMs: 60_000, pauseMs: 5, fillerBytesMax: 0 };
    const history = await verifiableRun({ ...size, seed: 1, harm, say: (line) => t.diagnostic(line) });
    const broken = new Set(judge(history).map(({ law }) => law));
    assert.ok(broken.has("no acknowledged record is lost"), [...broken].join(", "));
  });
});
