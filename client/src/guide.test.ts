import assert from "node:assert/strict";
import { test } from "node:test";
import { deposit, follow, read, refusals, topics } from "../test/guide.ts";
import { json, problem, ScriptedServer, stream } from "../test/scripted-server.ts";

test("the guide's code reads rows, follows a view and a topic, deposits, and meets a refusal", async () => {
  await using server = await ScriptedServer.open();
  const card = { id: "4711", status: "paid" };
  server.answers(json([card]), json(card));
  assert.deepEqual((await read(server.url)).card, card);

  const shown: unknown[] = [];
  server.answers(
    stream([{ event: "snapshot", id: "1.1", data: { token: "t", key: ["id"], rows: [card] } }], "end"),
    problem(404, "VIEW_UNKNOWN"),
  );
  await assert.rejects(
    follow(server.url, (cards) => shown.push([...cards])),
    { code: "VIEW_UNKNOWN" },
  );
  assert.deepEqual(shown, [[card]]);

  server.answers(json({ token: "w" }), json({ events: [], next: "c" }), problem(404, "TOPIC_UNKNOWN"));
  await assert.rejects(topics(server.url, new AbortController().signal), { code: "TOPIC_UNKNOWN" });

  const last = { partition: 0, offset: 7, timestamp: 1, key: "a", value: { balance: 5 }, headers: {} };
  const moved = json({ code: "KEY_OFFSET_MISMATCH", detail: "moved", offset: 9 }, 412);
  server.answers(json({ token: "w" }), moved, problem(503, "LOG_CLOSED"));
  assert.equal(await deposit(server.url, last, 3), undefined);
  assert.equal(server.asked.at(-1)?.headers["if-match"], '"7"');
  assert.match(server.asked.at(-1)?.body ?? "", /"balance":8/);
  assert.equal(await deposit(server.url, last, 3), 9);
  await assert.rejects(deposit(server.url, last, 3), { code: "LOG_CLOSED" });

  server.answers(problem(400, "COLUMN_UNKNOWN"));
  assert.match(String(await refusals(server.url)), /COLUMN_UNKNOWN/);
});
