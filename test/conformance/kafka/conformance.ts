/**
 * Takes a client on its tour of a real Kafka and of Millrace at the same time, and compares the outcomes step by step.
 * With MILLRACE_CONFORMANCE=kafka both are Kafka, which shows that the tour itself has but one outcome.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { kafkaMissing, startKafka } from "../../support/kafka.ts";
import { startDoor } from "../../support/kafka-door.ts";
import type { Client, Json } from "./client.ts";
import { differencesBetween, differencesPage, judge, readKnownDifferences } from "./differences.ts";
import { cannot, type Step, saysNothing, Tour } from "./step.ts";

export interface TouringClient {
  /** In the list of known differences. */
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** Why it cannot be had, as `skipped: …`. */
  readonly missing: string | undefined;
  readonly steps: readonly Step[];
  open(bootstrap: string): Client | Promise<Client>;
}

interface Side extends AsyncDisposable {
  readonly bootstrap: string;
}

interface Traveller {
  readonly side: Side;
  readonly client: Client;
  readonly tour: Tour;
}

export function takeTour({ name, title, missing, steps, open }: TouringClient): void {
  const skip = kafkaMissing() ?? missing ?? false;
  const twice = process.env.MILLRACE_CONFORMANCE === "kafka";
  describe(`${title} on ${twice ? "two Kafkas" : "Kafka and on Millrace"}`, { skip }, () => {
    const known = skip === false && !twice ? readKnownDifferences() : [];
    let travellers: readonly Traveller[] = [];

    before(async () => {
      const sides = await together<Side>([startKafka(), twice ? startKafka() : startDoor()]);
      travellers = await Promise.all(
        sides.map(async (side) => {
          const client = await open(side.bootstrap);
          return { side, client, tour: new Tour(client) };
        }),
      );
      await Promise.all(travellers.map(({ tour }) => tour.warmUp()));
    });

    after(async () => {
      await Promise.all(travellers.map(({ client }) => client.close()));
      await Promise.all(travellers.map(({ side }) => side[Symbol.asyncDispose]()));
    });

    for (const step of steps) {
      test(step.name, async (t) => {
        const [kafka = null, millrace = null] = await Promise.all(travellers.map(({ tour }) => step.run(tour)));
        if (saysNothing(kafka)) {
          assert.ok(saysNothing(millrace), JSON.stringify(millrace));
          return t.skip(`skipped: ${cannot}`);
        }
        assert.ok(!ranOut(kafka), `even Kafka had no answer in time: ${JSON.stringify(kafka)}`);
        const { unknown, gone } = judge(known, step.name, name, differencesBetween(kafka, millrace));
        const words = [
          ...unknown.map((each) => `${each.where}\n    Kafka    ${each.kafka}\n    Millrace ${each.millrace}`),
          ...gone.map((row) => `${row.where} does not differ any more as ${differencesPage} says`),
        ];
        assert.ok(words.length === 0, `${name}:\n  ${words.join("\n  ")}`);
      });
    }
  });
}

/** Something was waited for in vain. */
function ranOut(outcome: Json): boolean {
  return /"short":|"other":|"exitCode":"hangs"|\{"error":"hangs"\}/.test(JSON.stringify(outcome));
}

/** All or none: what was started is ended when another could not be. */
async function together<T extends AsyncDisposable>(starting: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(starting);
  const started = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const failed = settled.find((each) => each.status === "rejected");
  if (failed === undefined) return started;
  for (const each of started) await each[Symbol.asyncDispose]();
  throw failed.reason;
}
