import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { suite, test } from "node:test";
import type { Client } from "pg";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { StoreMonitor } from "./monitor.ts";

/** A server that can be told how to behave. */
class FakeServer {
  mode: "answers" | "silent" | "standby" | "refuses" = "answers";
  attempts = 0;
  connections = new Set<EventEmitter>();

  async connect(): Promise<Client> {
    this.attempts++;
    if (this.mode === "refuses") throw new MillraceError("STORE_UNAVAILABLE", "refused");
    const client = Object.assign(new EventEmitter(), {
      query: () =>
        this.mode === "silent"
          ? new Promise(() => {})
          : Promise.resolve({ rows: [{ standby: this.mode === "standby" }] }),
      end: async () => void this.connections.delete(client),
    });
    this.connections.add(client);
    return client as unknown as Client;
  }

  cut(): void {
    for (const client of this.connections) client.emit("end");
  }
}

suite("whether the store answers", () => {
  async function start() {
    const server = new FakeServer();
    const clock = new VirtualClock();
    const options = { connect: () => server.connect(), clock, random: seededRandom(1), diagnostics: silentDiagnostics };
    const monitor = new StoreMonitor(options);
    const states: string[] = [];
    monitor.onChange((state) => states.push(state));
    await monitor.start();
    return { server, clock, monitor, states };
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve));

  test("a store that answers stays up", async () => {
    const { clock, monitor, states } = await start();
    await clock.advance(120_000);
    assert.deepEqual([monitor.state(), states], ["up", []]);
    await monitor.close();
  });

  test("a connection that ends is down at once, and up when another can be had", async () => {
    const { server, clock, monitor, states } = await start();
    server.mode = "refuses";
    server.cut();
    await settle();
    assert.deepEqual([monitor.state(), monitor.problem?.code], ["down", "STORE_UNAVAILABLE"]);
    await clock.advance(60_000);
    assert.deepEqual(states, ["down"]);
    server.mode = "answers";
    await clock.advance(5_000);
    assert.deepEqual([monitor.state(), states], ["up", ["down", "up"]]);
    await monitor.close();
  });

  test("a server that is gone is asked less and less often", async () => {
    const { server, clock, monitor } = await start();
    server.mode = "refuses";
    server.cut();
    await settle();
    await clock.advance(600_000);
    assert.ok(server.attempts > 100 && server.attempts < 260, `${server.attempts} attempts in ten minutes`);
    await monitor.close();
  });

  test("a server that holds the connection and says nothing is down", async () => {
    const { server, clock, monitor } = await start();
    await clock.advance(60_000);
    server.mode = "silent";
    await clock.advance(5_000);
    assert.equal(monitor.state(), "up");
    server.connect = () => Promise.reject(new MillraceError("STORE_UNAVAILABLE", "silent"));
    await clock.advance(5_000);
    assert.equal(monitor.state(), "down");
    await monitor.close();
  });

  test("a server that became a standby is down, for it cannot be written", async () => {
    const { server, clock, monitor, states } = await start();
    server.mode = "standby";
    await clock.advance(5_000);
    assert.equal(states[0], "down");
    await monitor.close();
  });

  test("news of a restart cuts the pause short", async () => {
    const { server, clock, monitor } = await start();
    server.mode = "refuses";
    server.cut();
    await settle();
    await clock.advance(30_000);
    server.mode = "answers";
    monitor.nudge();
    await settle();
    assert.equal(monitor.state(), "up");
    await monitor.close();
  });

  test("a listener that throws does not keep the others from hearing", async () => {
    const server = new FakeServer();
    const clock = new VirtualClock();
    const options = { connect: () => server.connect(), clock, random: seededRandom(1), diagnostics: silentDiagnostics };
    const monitor = new StoreMonitor(options);
    monitor.onChange(() => {
      throw new Error("mine");
    });
    let heard = 0;
    monitor.onChange(() => heard++);
    await monitor.start();
    server.cut();
    await settle();
    await clock.advance(10_000);
    assert.equal(heard, 2);
    await monitor.close();
  });
});
