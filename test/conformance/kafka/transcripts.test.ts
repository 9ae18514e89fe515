/**
 * Requests of chance, many of them hostile, sent to a real Kafka and to the door: the answers are equal but for what
 * `known.ts` has. A difference fails with the shortest transcript that was found to show it.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { type OpenDoor, openDoor } from "../../../src/broker/door.fixture.ts";
import { type Kafka, kafkaMissing, startKafka } from "../../support/kafka.ts";
import type { Step } from "./wire/script.ts";
import { generate, themeNames } from "./wire/transcript/generate.ts";
import { judge } from "./wire/transcript/known.ts";
import { type Found, type Ports, runTranscript } from "./wire/transcript/run.ts";
import { shrink } from "./wire/transcript/shrink.ts";
import { readyKafka } from "./wire/transcript/side.ts";

const missing = kafkaMissing();
const long = process.env.MILLRACE_SOAK === "1";
const themeMs = long ? 10 * 60_000 : 30_000;
const transcriptsMax = long ? Number.POSITIVE_INFINITY : 12;
const shrinkMs = long ? 60_000 : 10_000;
const stepsMax = 60;

describe("transcripts", { skip: missing ?? false }, () => {
  // The long form looks for what nobody has seen yet, the short one for what is not as it was.
  const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? (long ? Math.floor(Math.random() * 2 ** 31) : 1));
  let kafka: Kafka;
  let door: OpenDoor;
  let ports: Ports;
  let runs = 0;

  before(async () => {
    kafka = await startKafka({
      properties: {
        // Records of transcripts have one time, which is long gone.
        ...{ "log.retention.ms": "-1", "log.roll.ms": "9000000000000" },
        "auto.create.topics.enable": "false",
      },
    });
    door = await openDoor({}, { autoCreateTopics: false, groups: { initialRebalanceDelayMs: 0 } });
    ports = { ours: door.port, kafka: Number(kafka.bootstrap.split(":")[1]) };
    await readyKafka(ports.kafka);
  });

  after(async () => {
    await door?.[Symbol.asyncDispose]();
    await kafka?.[Symbol.asyncDispose]();
  });

  const run = (theme: string, seed: number, kept?: readonly number[]) => {
    const prefix = `t${++runs}-`;
    const all = generate(theme, seed, stepsMax, prefix);
    const steps = kept === undefined ? all : kept.map((index) => all[index] as Step);
    return runTranscript(steps, prefix, ports, judge);
  };

  for (const theme of themeNames) {
    test(`of ${theme} have the same answers`, async (t) => {
      t.diagnostic(`MILLRACE_TEST_SEED=${firstSeed}`);
      const untilMs = systemClock.monotonicMs() + themeMs;
      let asked = 0;
      for (let seed = firstSeed; seed < firstSeed + transcriptsMax && systemClock.monotonicMs() < untilMs; seed++) {
        const outcome = await run(theme, seed);
        asked += outcome.asked;
        if (outcome.found.length === 0) continue;
        const words = await told(theme, seed, outcome.endedAt ?? 0, outcome.found);
        if (await isAgain(theme, seed)) assert.fail(words);
        t.diagnostic(`once, and not again: ${words}`);
      }
      t.diagnostic(`${asked} requests`);
      assert.ok(asked > 100, "hardly anything was asked");
    });
  }

  test("a door that answers something else is noticed", async () => {
    const steps = generate("topics", 1, 1, `t${++runs}-`);
    // One of the two is asked for no topics, as if it had left them out.
    let asks = 0;
    const forked: Step = {
      ...(steps[0] as Step),
      request: (seen) => (asks++ % 2 === 0 ? { topics: [], timeoutMs: 1 } : steps[0]?.request(seen)),
    };
    const outcome = await runTranscript([forked], "", ports, judge);
    assert.ok(outcome.found.length > 0);
  });

  /** What two brokers make of requests that cross each other is a matter of time. */
  async function isAgain(theme: string, seed: number): Promise<boolean> {
    for (let tries = 0; tries < 3; tries++) if ((await run(theme, seed)).found.length > 0) return true;
    return false;
  }

  async function told(theme: string, seed: number, endedAt: number, found: readonly Found[]): Promise<string> {
    const untilMs = systemClock.monotonicMs() + shrinkMs;
    const all = Array.from({ length: endedAt + 1 }, (_, index) => index);
    const api = found[0]?.step.api;
    let last = found;
    const fails = async (kept: readonly number[]) => {
      const outcome = await run(theme, seed, kept);
      const isSame = outcome.found[0]?.step.api === api && outcome.found.length > 0;
      if (isSame) last = outcome.found;
      return isSame;
    };
    const kept = await shrink(all, fails, () => systemClock.monotonicMs() > untilMs);
    const steps = generate(theme, seed, stepsMax, "t-");
    return [
      `MILLRACE_TEST_SEED=${seed}, ${theme}, after ${kept.length} of ${all.length} steps:`,
      ...kept.map((index) => `  ${lineOf(steps[index] as Step)}`),
      ...last.map(
        ({ place, ours, kafkas }) => `${place || "the answer"}: ours ${short(ours)}, Kafka's ${short(kafkas)}`,
      ),
    ].join("\n");
  }
});

/** With what it takes from earlier answers as `<field of step>`. */
function lineOf(step: Step): string {
  const seen = {
    text: (name: string, field: string) => `<${field} of ${name}>`,
    number: () => 0,
    topicId: (topic: string) => topic,
  };
  const request = JSON.stringify(step.request(seen as never), (_, value) => (isBytes(value) ? "…" : value));
  return `${step.name} on ${step.on}: ${request.slice(0, 600)}`;
}

/** As buffers are by the time that JSON sees them. */
function isBytes(value: unknown): boolean {
  return (value as { type?: unknown } | null)?.type === "Buffer";
}

function short(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 300);
}
