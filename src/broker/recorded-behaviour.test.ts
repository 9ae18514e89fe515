/**
 * What Kafka has answered to a fixed script of requests, and what the door answers to the same: equal but for ids, times
 * and addresses, and for what stands in `meant`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Comparable, differencesBetween } from "../../test/conformance/kafka/wire/comparable.ts";
import { readRecording } from "../../test/conformance/kafka/wire/recording.ts";
import { scenario } from "../../test/conformance/kafka/wire/scenario.ts";
import { runScript } from "../../test/conformance/kafka/wire/script.ts";
import { DoorClient, openDoor } from "./door.fixture.ts";

test("the door answers as Kafka has", async () => {
  const listener = (name: string, protocol: "PLAINTEXT" | "SASL_PLAINTEXT") => ({
    ...{ name, protocol, host: "127.0.0.1", port: 0, advertised: { host: null, port: null } },
  });
  await using open = await openDoor(
    {},
    { listeners: [listener("PLAINTEXT", "PLAINTEXT"), listener("SASL", "SASL_PLAINTEXT")] },
    {
      authorization: true,
      superUsers: ["User:ANONYMOUS"],
      mechanisms: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    },
  );
  const clients: DoorClient[] = [];
  const exchanges = await runScript(scenario, async (connection) => {
    const port = open.door.addresses.get(connection.startsWith("sasl") ? "SASL" : "PLAINTEXT")?.port ?? 0;
    const client = await DoorClient.connect(port);
    clients.push(client);
    return client;
  });
  for (const client of clients) client.close();
  const recorded = readRecording();
  const ours = new Comparable();
  const kafkas = new Comparable();
  const found: string[] = [];
  for (const [index, exchange] of exchanges.entries()) {
    const one = recorded[index];
    assert.equal(one?.name, exchange.step.name);
    const a = ours.of(exchange);
    const b = kafkas.of({ ...exchange, response: one?.response ?? null });
    for (const { place, ours: o, kafkas: k } of differencesBetween(a, b)) {
      found.push(
        `${one?.name}: ${place}: ours ${JSON.stringify(o)?.slice(0, 300)} kafka ${JSON.stringify(k)?.slice(0, 300)}`,
      );
    }
  }
  for (const each of found) console.log(each);
});
