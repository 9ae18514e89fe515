import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Command } from "commander";
import { json, problem, ScriptedServer } from "../../../client/test/scripted-server.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { collectedTerminal } from "../collected-terminal.fixture.ts";
import type { CommandContext } from "../command.ts";
import { storeUrl, viewQueryCommands } from "./view-queries.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-query-"));
mkdirSync(join(folder, ".millrace"));
after(() => rmSync(folder, { recursive: true, force: true }));

const store = { host: "127.0.0.1", port: 4432, database: "millrace", user: "millrace_reader", password: "p/w" };

const groupStores = { reports: { ...store, port: 5432, database: "reports" } };

async function millrace(
  server: ScriptedServer | null,
  args: readonly string[],
  { screen = false, clock = new VirtualClock() } = {},
): Promise<{ out: string; errors: string }> {
  const running = join(folder, ".millrace", "running.json");
  rmSync(running, { force: true });
  if (server) writeFileSync(running, JSON.stringify({ addresses: { http: server.url }, store, groupStores }));
  const { terminal, said } = collectedTerminal(screen);
  const program = new Command();
  viewQueryCommands(program, { terminal, clock, directory: folder } as unknown as CommandContext);
  await program.parseAsync(["node", "millrace", ...args]);
  return said;
}

const answer = {
  columns: ["id", "note", "doc"],
  rows: [
    ["1", 'a "b",\nc', { x: 1 }],
    ["2", null, []],
  ],
};

test("a query's rows are a table, JSON or CSV, and a cut answer is said on the side", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json(answer), json({ ...answer, more: true }), json({ ...answer, more: true }));
  const table = await millrace(server, ["query", "select 1"]);
  assert.equal(table.out, 'id  note      doc\n1   a "b", c  {"x":1}\n2   null      []\n');
  assert.equal(table.errors, "2 rows\n");
  const csv = await millrace(server, ["query", "select 1", "--csv", "--limit", "2"]);
  assert.equal(csv.out, 'id,note,doc\r\n1,"a ""b"",\nc","{""x"":1}"\r\n2,,[]\r\n');
  assert.match(csv.errors, /^There are more rows/);
  const asJson = await millrace(server, ["query", "select 1", "--json"]);
  assert.deepEqual(JSON.parse(asJson.out), { ...answer, more: true });
  assert.deepEqual(JSON.parse(server.asked[1]?.body ?? ""), { sql: "select 1", limit: 2 });
});

test("a query asks the group that is named, and the address is that of its store", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json(answer));
  await millrace(server, ["query", "select 1", "--group", "reports"]);
  assert.deepEqual(JSON.parse(server.asked[0]?.body ?? ""), { sql: "select 1", limit: 1000, group: "reports" });
  const url = await millrace(server, ["url", "--group", "reports"]);
  assert.equal(url.out, "postgres://millrace_reader:p%2Fw@127.0.0.1:5432/reports\n");
  for (const group of ["repots", "constructor"]) {
    await assert.rejects(millrace(server, ["url", "--group", group]), {
      code: "VIEW_GROUP_UNKNOWN",
      hint: /^There are main, reports;/,
    });
  }
});

test("what is wrong with a query or its options is told by code", async () => {
  await using server = await ScriptedServer.open();
  server.answers(problem(400, "QUERY_INVALID"));
  await assert.rejects(millrace(server, ["query", "selct"]), { code: "QUERY_INVALID" });
  await assert.rejects(millrace(server, ["query", "select 1", "--limit", "many"]), { code: "USAGE_INVALID" });
  await assert.rejects(millrace(server, ["query", "select 1", "--json", "--csv"]), { code: "USAGE_INVALID" });
  assert.equal(server.asked.length, 1);
});

test("a query that takes long says so: each second on a terminal, every ten in a pipe", async () => {
  await using server = await ScriptedServer.open();
  for (const screen of [true, false]) {
    const clock = new VirtualClock();
    server.answers(async (response, asked) => {
      for (let i = 0; i < 11; i++) clock.advance(1_000);
      await json(answer)(response, asked);
    });
    const { errors } = await millrace(server, ["query", "select 1"], { screen, clock });
    assert.equal(errors.match(/the query runs, 10 s/g)?.length, 1);
    assert.equal(errors.match(/the query runs/g)?.length, screen ? 11 : 1);
    assert.ok(errors.endsWith(screen ? "\r\u001b[K2 rows\n" : "s\n2 rows\n"), JSON.stringify(errors));
  }
});

test("the store's address is printed for other tools, from what the running program left", async () => {
  await using server = await ScriptedServer.open();
  await assert.rejects(millrace(null, ["url"]), { code: "NOT_RUNNING" });
  assert.equal((await millrace(server, ["url"])).out, "postgres://millrace_reader:p%2Fw@127.0.0.1:4432/millrace\n");
  assert.deepEqual(JSON.parse((await millrace(server, ["url", "--json"])).out), store);
  assert.equal(
    storeUrl({ ...store, host: "/run/pg", password: "" }),
    "postgres://millrace_reader@/millrace?host=%2Frun%2Fpg&port=4432",
  );
  assert.equal(storeUrl({ ...store, host: "::1" }), "postgres://millrace_reader:p%2Fw@[::1]:4432/millrace");
});
