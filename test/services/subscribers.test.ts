import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { descriptorsMax } from "../../src/descriptors.ts";
import { type Program, runProgram } from "../support/program.ts";

interface Count {
  readonly accepted: number;
  readonly refused: number;
  readonly reached: number;
}

const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];
const wanted = 10_000;
const enough = descriptorsMax() >= 13_000;

test("10,000 subscribers from a second process all get an event", {
  skip: enough ? false : "skipped: ulimit -n is below 13000",
}, async () => {
  await using program = await runProgram({ script });
  await makeTopic(program);
  await using crowd = gather(program, wanted);
  assert.deepEqual(await crowd.next(), { accepted: wanted, refused: 0, reached: 0 });
  await publish(program);
  assert.deepEqual(await crowd.next(), { accepted: wanted, refused: 0, reached: wanted });
  assert.equal((await fetch(`${program.address}/readyz`)).status, 200);
});

test("past the limit of descriptors new subscribers are refused, and those who are in, and requests, go on", async () => {
  await using program = await runProgram({ script, descriptors: 512 });
  await makeTopic(program);
  await using crowd = gather(program, 600);
  const { accepted, refused } = await crowd.next();
  assert.equal(accepted + refused, 600);
  assert.ok(accepted > 100 && refused > 0, `${accepted} accepted, ${refused} refused`);
  const late = await fetch(`${program.address}/v1/topics/news/live`);
  assert.equal(late.status, 503);
  assert.ok(late.headers.has("retry-after"));
  assert.equal(((await late.json()) as { code: string }).code, "CONNECTIONS_EXHAUSTED");
  await publish(program);
  assert.equal((await crowd.next()).reached, accepted);
});

async function makeTopic({ address }: Program): Promise<void> {
  const response = await fetch(`${address}/v1/topics/news`, { method: "PUT" });
  assert.ok(response.ok, await response.text());
}

async function publish({ address }: Program): Promise<void> {
  const response = await fetch(`${address}/v1/topics/news`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"value":"hear"}',
  });
  assert.equal(response.status, 200, await response.text());
}

function gather(
  { address }: Program,
  count: number,
): { next(): Promise<Count>; [Symbol.asyncDispose](): Promise<void> } {
  const path = new URL("subscribers/crowd.ts", import.meta.url).pathname;
  const child: ChildProcess = spawn(process.execPath, [path, address, "/v1/topics/news/live", String(count)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.ok(child.stdout);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async next() {
      const { value, done } = await lines.next();
      assert.ok(!done, "the crowd went away");
      return JSON.parse(value) as Count;
    },
    async [Symbol.asyncDispose]() {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}
