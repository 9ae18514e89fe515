import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Command } from "commander";
import { json, problem, ScriptedServer } from "../../../client/test/scripted-server.ts";
import { collectedTerminal } from "../collected-terminal.fixture.ts";
import type { CommandContext } from "../command.ts";
import { viewRebuildCommand } from "./view-rebuild.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-rebuild-"));
mkdirSync(join(folder, ".millrace"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Waits for nothing. */
const clock = { sleep: async () => {} };

async function rebuild(server: ScriptedServer, ...args: readonly string[]): Promise<{ out: string; errors: string }> {
  writeFileSync(join(folder, ".millrace", "running.json"), JSON.stringify({ addresses: { http: server.url } }));
  const { terminal, said } = collectedTerminal();
  const program = new Command();
  viewRebuildCommand(program, { terminal, clock, directory: folder } as unknown as CommandContext);
  await program.parseAsync(["node", "millrace", "rebuild", ...args]);
  return said;
}

const viewIn = (state: object) => ({ name: "order cards", rowsEstimated: 1_200, state });
const listOf = (state: object) => json({ items: [viewIn(state)], next: null });
const progress = { reason: "is being filled from its mirrors", rowsEstimated: 1_000 };

test("a view is built anew, and the command ends when it is", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    json(viewIn({ kind: "building", rowsDone: 0, ...progress })),
    listOf({ kind: "building", rowsDone: 500, ...progress }),
    listOf({ kind: "live", replacement: { rowsDone: 900, ...progress } }),
    listOf({ kind: "live" }),
  );
  const { out, errors } = await rebuild(server, "order cards");
  assert.equal(out, "order cards is built anew: about 1,200 rows\n");
  assert.equal(errors, "building order cards 500 rows of 1,000 rows\nbuilding order cards 900 rows of 1,000 rows\n");
  const [first] = server.asked;
  assert.deepEqual([first?.method, first?.url], ["POST", "/v1/views/order%20cards/rebuild"]);
});

test("it is only begun with --no-wait", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json(viewIn({ kind: "building", rowsDone: 0, ...progress })));
  assert.equal((await rebuild(server, "order cards", "--no-wait")).out, "order cards is being built anew\n");
});

test("what the view fails for is said", async () => {
  await using server = await ScriptedServer.open();
  const error = { code: "VIEW_FAILED", message: 'view "order cards" failed: division by zero', hint: "Correct it." };
  server.answers(json(viewIn({ kind: "building", rowsDone: 0, ...progress })), listOf({ kind: "failed", error }));
  await assert.rejects(rebuild(server, "order cards"), {
    code: "VIEW_FAILED",
    message: error.message,
    hint: error.hint,
  });
});

test("a view that nobody knows is refused as the door says", async () => {
  await using server = await ScriptedServer.open();
  server.answers(problem(404, "VIEW_UNKNOWN"));
  await assert.rejects(rebuild(server, "x"), { code: "VIEW_UNKNOWN" });
});
