/** How many webhooks a second are accepted durably, and how long does a vendor wait for its answer? */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { silentMetrics } from "../../src/base/metrics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import { Hooks } from "../../src/capture/webhooks/hooks.ts";
import { hmacSignature } from "../../src/capture/webhooks/verify/hmac.ts";
import { webhook } from "../../src/catalog/definitions.ts";
import { openTestDoor } from "../../src/http/door-fixture.ts";
import { ProgressTable } from "../../src/ownership/progress-table.ts";
import type { Benchmark, BenchmarkSize, Measurement, Progress } from "../harness.ts";
import { runChild } from "../log/support/child.ts";
import { openLog } from "../log/support/open-log.ts";
import { makeScratch } from "../log/support/scratch.ts";
import { openFileReceiver, openVerifier } from "./support/peers.ts";

const secret = "bench-secret";
const connections = 64;
const bodyBytes = 1_024;
const sizes = {
  full: { rounds: 3, seconds: 5, warmSeconds: 2 },
  tiny: { rounds: 1, seconds: 0.3, warmSeconds: 0 },
} as const;

const names = {
  ours: "source of webhooks",
  door: "node:http that verifies and keeps nothing",
  file: "node:http that verifies, appends to a file and syncs",
} as const;

type Name = keyof typeof names;

interface Called {
  readonly answered: number;
  readonly refused: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly cpuSeconds: number;
}

type Time = (typeof sizes)[BenchmarkSize];

async function run(size: BenchmarkSize, progress: Progress) {
  const time = sizes[size];
  const rounds: Record<Name, Called[]> = { ours: [], door: [], file: [] };
  await using scratch = await makeScratch();
  for (let round = 0; round < time.rounds; round++) {
    for (const name of ["ours", "door", "file"] as const) {
      progress(`round ${round + 1} of ${time.rounds}: ${names[name]}`);
      rounds[name].push(await measureOne(name, join(scratch.directory, `${name}-${round}`), time));
    }
  }
  const [ours, door, file] = (["ours", "door", "file"] as const).map((name) => measured(names[name], rounds[name]));
  const bounds = [names.door, names.file];
  return {
    results: [{ ...(ours as Measurement), bounds }, door as Measurement, file as Measurement],
    bound: names.door,
  } as const;
}

async function measureOne(name: Name, path: string, time: Time): Promise<Called> {
  if (name === "ours") return await measureSource(path, time);
  await using peer = name === "door" ? await openVerifier(secret) : await openFileReceiver(secret, path);
  return await call(peer.port, "/", time);
}

async function measureSource(directory: string, time: Time): Promise<Called> {
  const engine = await openLog(join(directory, "log"));
  const progress = await ProgressTable.open({ engine, clock: systemClock });
  const hooks = new Hooks({
    engine,
    progress,
    clock: systemClock,
    random: systemRandom,
    disk: realDisk,
    diagnostics: silentDiagnostics,
    metrics: silentMetrics,
    directory: join(directory, "hooks"),
  });
  const verify = hmacSignature({ secret, header: "x-mac", idHeader: "x-id" });
  await hooks.apply([webhook("vendor", { verify, ratePerSecond: null })]);
  const door = await openTestDoor({ engine, hooks, clock: systemClock, random: systemRandom });
  while (hooks.status("vendor")?.state.kind !== "streaming") await systemClock.sleep(1);
  const called = await call(door.port, "/v1/hooks/vendor", time);
  const { accepted = 0 } = hooks.status("vendor")?.hook ?? {};
  if (called.refused > 0 || accepted < called.answered) throw new Error(`${called.refused} calls were refused`);
  await door.close();
  await hooks.close();
  await progress.close();
  await engine.close();
  return called;
}

async function call(port: number, path: string, { seconds, warmSeconds }: Time): Promise<Called> {
  const script = new URL("support/caller.ts", import.meta.url);
  const given = [port, path, connections, seconds, warmSeconds, bodyBytes].map(String);
  await using caller = runChild(script, [...given, secret]);
  return (await caller.message()) as Called;
}

function measured(name: string, rounds: readonly Called[]): Measurement {
  const middle = (pick: (one: Called) => number) => rounds.map(pick).sort((a, b) => a - b)[rounds.length >> 1] ?? 0;
  return {
    name,
    value: middle((one) => one.perSecond),
    unit: "calls/s",
    details: {
      p50Ms: middle((one) => one.p50Ms),
      p99Ms: middle((one) => one.p99Ms),
      maxMs: middle((one) => one.maxMs),
    },
  };
}

export const benchmark: Benchmark = {
  question: "hooks/accept: how many webhooks a second are accepted durably, with what wait?",
  method:
    `${connections} connections of another process, each with one call of ${bodyBytes} bytes on its way, signed with HMAC-SHA256, every id new; ` +
    "the middle one of the rounds. The bound verifies and answers with nothing kept; the peer writes each body to a file and syncs once for all that wait",
  notMeasured: "the network, TLS, other vendors' signatures, the program's other parts, copies",
  run,
};
