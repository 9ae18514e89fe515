import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { eventually, runProgram } from "../../support/program.ts";

const root = new URL("../../../", import.meta.url).pathname;
const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];

interface RunningFile {
  readonly pid: number;
  readonly addresses: { readonly http: string };
}

test("when npm start is killed with -9 the program notices, stops, and the next start serves", async () => {
  const data = mkdtempSync(join(tmpdir(), "millrace-launcher-"));
  try {
    const npm = spawn("npm", ["start"], {
      cwd: root,
      stdio: "ignore",
      detached: true,
      env: {
        ...process.env,
        MILLRACE_DATA: data,
        MILLRACE_PORT: "0",
        MILLRACE_STORE_PORT: "0",
        MILLRACE_KAFKA_PORT: "0",
        MILLRACE_DIAGNOSTICS: "warn",
      },
    });
    const { pid } = await eventually(async () => serving(data));
    const gone = once(npm, "exit");
    npm.kill("SIGKILL");
    await gone;
    await eventually(async () => (isAlive(pid) ? undefined : true));
    await using next = await runProgram({ script, data });
    assert.equal((await fetch(`${next.address}/healthz`)).status, 200);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});

test("after kill -9 of the program its PostgreSQL is taken care of by the next start", async () => {
  const data = mkdtempSync(join(tmpdir(), "millrace-stray-"));
  try {
    const first = await runProgram({ script, data });
    await first.kill();
    await using next = await runProgram({ script, data });
    const ready = await eventually(async () => {
      const response = await fetch(`${next.address}/readyz`);
      return response.ok ? response.status : undefined;
    });
    assert.equal(ready, 200);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});

test("a second Millrace on the same data directory is refused, and names the first", async () => {
  await using first = await runProgram({ script });
  await assert.rejects(
    runProgram({ script, data: first.data }),
    (error: Error) => /DATA_DIRECTORY_LOCKED/.test(error.message) && error.message.includes(String(first.process.pid)),
  );
  assert.equal((await fetch(`${first.address}/healthz`)).status, 200);
});

async function serving(data: string): Promise<RunningFile | undefined> {
  try {
    const running = JSON.parse(readFileSync(join(data, "running.json"), "utf8")) as RunningFile;
    return (await fetch(`${running.addresses.http}/healthz`)).ok ? running : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
