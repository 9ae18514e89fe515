/** The whole program: what is registered survives kill -9, and definitions that cannot be are refused at start and reload. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { type Program, runProgram } from "../../support/program.ts";
import { people } from "./renamed.ts";

const kills = process.env.MILLRACE_SOAK === "1" ? 30 : 3;
const headers = { "content-type": "application/vnd.schemaregistry.v1+json" };

async function register(program: Program, subject: string, schema: object): Promise<number> {
  const body = JSON.stringify({ schema: JSON.stringify(schema), schemaType: "JSON" });
  const path = `${program.address}/registry/subjects/${subject}/versions`;
  const answer = await fetch(path, { method: "POST", headers, body });
  assert.equal(answer.status, 200);
  return ((await answer.json()) as { id: number }).id;
}

test("every registration that was acknowledged is there after kill -9, under its id, and no id means two schemas", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const data = mkdtempSync(join(tmpdir(), "millrace-registry-"));
  const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];
  const acknowledged = new Map<number, number>();
  let sent = 0;
  try {
    for (let kill = 0; kill < kills; kill++) {
      await using program = await runProgram({ script, data });
      const write = async (): Promise<never> => {
        for (;;) {
          const n = sent++;
          const id = await register(program, `s${n % 7}-${n}`, { type: "object", title: `schema ${n}` });
          acknowledged.set(n, id);
        }
      };
      const writing = Promise.allSettled([write(), write(), write(), write()]);
      await systemClock.sleep(200 + random.below(600));
      await program.kill();
      await writing;
    }
    t.diagnostic(`${sent} sent, ${acknowledged.size} acknowledged`);
    assert.ok(acknowledged.size > kills);
    assert.equal(new Set(acknowledged.values()).size, acknowledged.size);
    await using program = await runProgram({ script, data });
    for (const [n, id] of acknowledged) {
      const answer = await fetch(`${program.address}/registry/schemas/ids/${id}`);
      const { schema } = (await answer.json()) as { schema: string };
      assert.equal(JSON.parse(schema).title, `schema ${n}`);
    }
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});

test("a schema that old data cannot be read with is refused at the start and at a reload, with its code, and nothing is written", async () => {
  const data = mkdtempSync(join(tmpdir(), "millrace-registry-"));
  const folder = mkdtempSync(join(import.meta.dirname, ".app-"));
  const app = join(folder, "app.ts");
  const root = new URL("../../../", import.meta.url).pathname;
  const script = ["src/cli/millrace.ts", "dev", app.slice(root.length)];
  const define = (type: string, partitions = 1): void => {
    const schema = `{ type: "object", properties: { id: { type: "${type}" } }, required: ["id"] }`;
    const code = `import { topic } from "millrace";\nexport const orders = topic("orders", { schema: ${schema}, partitions: ${partitions} });\n`;
    writeFileSync(app, code);
  };
  const append = async (program: Program, id: unknown): Promise<number> => {
    const body = JSON.stringify({ value: { id } });
    const path = `${program.address}/v1/topics/orders`;
    return (await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body })).status;
  };
  const versions = async (program: Program): Promise<unknown> => {
    return (await fetch(`${program.address}/registry/subjects/orders-value/versions`)).json();
  };
  try {
    define("string");
    {
      await using program = await runProgram({ script, data });
      assert.deepEqual(await versions(program), [1]);
      assert.deepEqual([await append(program, "1"), await append(program, 1)], [200, 422]);
      define("number", 3);
      while (!program.words().includes("SCHEMA_INCOMPATIBLE")) await systemClock.sleep(50);
      assert.deepEqual(await versions(program), [1]);
      assert.deepEqual([await append(program, "1"), await append(program, 1)], [200, 422], "the old ones go on");
      const topic = (await (await fetch(`${program.address}/v1/topics/orders`)).json()) as { partitions: unknown[] };
      assert.equal(topic.partitions.length, 1);
    }
    await assert.rejects(runProgram({ script, data }), /SCHEMA_INCOMPATIBLE/);
    define("string", 2);
    {
      await using program = await runProgram({ script, data });
      assert.deepEqual(await versions(program), [1]);
    }
    define("string", 1);
    await assert.rejects(runProgram({ script, data }), /TOPIC_CHANGE_REFUSED/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(data, { recursive: true, force: true });
  }
});

test("the guide's translation makes a new value of an old one", () => {
  assert.deepEqual(people.upcast.get(1)?.({ name: "Ada King Lovelace" }), { first: "Ada", last: "King Lovelace" });
});
