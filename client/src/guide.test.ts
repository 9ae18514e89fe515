import assert from "node:assert/strict";
import { test } from "node:test";
import { follow, read, refusals, topics } from "../test/guide.ts";
import { json, problem, ScriptedServer, stream } from "../test/scripted-server.ts";

test("the guide's code reads rows, follows a view and a topic, and meets a refusal", async () => {
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

  server.answers(problem(400, "COLUMN_UNKNOWN"));
  assert.match(String(await refusals(server.url)), /COLUMN_UNKNOWN/);
});
