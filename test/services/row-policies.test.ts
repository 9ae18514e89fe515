/** Row policies in the whole program: tokens by the settings, a key, another group, SQL, and the topic that a view is published to. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { bearer, testKeySet } from "../../src/http/caller-tokens.fixture.ts";
import { group, sql, topic, view } from "../../src/index.ts";
import { startMillrace } from "../../src/server.ts";
import { readSettings } from "../../src/settings.ts";
import { eventually } from "../support/program.ts";

const schema = {
  type: "object",
  properties: { customer: { type: "string" }, total: { type: "integer" } },
  required: ["customer", "total"],
} as const;
const key = "the-key-of-this-program";

test("callers see their own rows in each group, whoever holds the key all of them, and SQL none", async () => {
  const data = mkdtempSync(join(tmpdir(), "millrace-policies-"));
  const orders = topic("orders", { cleanup: "compact", schema });
  const beside = group("beside");
  const query = sql`select _key as id, customer, total from ${orders}`;
  const policy = "customer = claim('sub')";
  const definitions = [
    orders,
    beside,
    view("orders_of", query, { policy, publish: "orders-of" }),
    view("orders_beside", query, { policy, group: beside }),
  ];
  const keys = join(data, "keys.json");
  writeFileSync(keys, testKeySet);
  const ports = { MILLRACE_PORT: "0", MILLRACE_STORE_PORT: "0", MILLRACE_KAFKA_PORT: "0" };
  const tokens = {
    MILLRACE_TOKEN_KEYS: keys,
    MILLRACE_TOKEN_ISSUER: "https://id.example",
    MILLRACE_TOKEN_AUDIENCE: "shop",
  };
  const running = await startMillrace({
    definitions,
    mode: "start",
    settings: readSettings(data, { ...ports, ...tokens, MILLRACE_DATA: data, MILLRACE_KEY: key }),
    diagnostics: silentDiagnostics,
    version: "0.0.0",
  });
  const held = { authorization: `Bearer ${key}` };
  const ask = async (path: string, headers: Record<string, string>, body?: unknown) => {
    const method = body === undefined ? "GET" : "POST";
    const init = { method, headers: { ...headers, "content-type": "application/json" } };
    const answer = await fetch(
      `${running.addresses.http}${path}`,
      body === undefined ? init : { ...init, body: JSON.stringify(body) },
    );
    return { status: answer.status, json: (await answer.json()) as never };
  };
  const ann = bearer({ sub: "ann", iss: "https://id.example", aud: "shop" });
  try {
    const events = ["ann", "ben", "ann"].map((customer, i) => ({ key: String(i), value: { customer, total: i } }));
    await eventually(async () => (await ask("/v1/topics/orders", held, events)).status === 200 || undefined);
    for (const name of ["orders_of", "orders_beside"]) {
      const path = `/v1/views/${name}?select=id&order=id`;
      const all = await eventually(async () => {
        const { json } = await ask(path, { ...held, "millrace-rows": "all" });
        return Array.isArray(json) && (json as unknown[]).length === 3 ? json : undefined;
      });
      assert.deepEqual(all, [{ id: "0" }, { id: "1" }, { id: "2" }]);
      assert.deepEqual((await ask(path, ann)).json, [{ id: "0" }, { id: "2" }]);
      assert.equal((await ask(path, held)).status, 401);
      const another = await ask(path, bearer({ sub: "ann", iss: "https://other.example", aud: "shop" }));
      assert.equal((another.json as { code: string }).code, "CALLER_TOKEN_INVALID");
      const many = await ask("/v1/read", ann, {
        reads: [
          { view: name, key: "1" },
          { view: name, query: "select=count()" },
        ],
      });
      const { results } = many.json as { results: { row?: unknown; rows?: unknown[] }[] };
      assert.deepEqual([results[0]?.row, results[1]?.rows], [null, [{ count: "2" }]]);
      const said = { sql: `select * from views.${name}`, ...(name === "orders_beside" ? { group: "beside" } : {}) };
      assert.equal((await ask("/v1/query", held, said)).status, 400);
      assert.equal((await ask("/v1/query", ann, said)).status, 401);
    }
    const published = await eventually(async () => {
      const { json } = await ask("/v1/topics/orders-of/events", held);
      const { events: found } = json as { events: { key: string }[] };
      return found.length === 3 ? found : undefined;
    });
    assert.deepEqual(published.map((one) => one.key).sort(), ["0", "1", "2"]);
  } finally {
    await running.stop();
    rmSync(data, { recursive: true, force: true });
  }
});
