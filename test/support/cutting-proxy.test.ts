import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { describe, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { CuttingProxy } from "./cutting-proxy.ts";

/** A target that sends back what it gets, and the proxy before it. */
async function world(): Promise<AsyncDisposable & { proxy: CuttingProxy; server: Server; seen: Socket[] }> {
  const seen: Socket[] = [];
  const server = createServer((socket) => {
    seen.push(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const proxy = await CuttingProxy.listen({ target: { host: "127.0.0.1", port }, clock: systemClock });
  return {
    proxy,
    server,
    seen,
    async [Symbol.asyncDispose]() {
      await proxy.close();
      for (const socket of seen) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

async function call(proxy: CuttingProxy): Promise<Socket> {
  const socket = connect(proxy.port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** By a reset as well, which `once` would throw. */
const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once("close", () => resolve()));

async function echo(socket: Socket, text: string): Promise<string> {
  let came = "";
  const all = new Promise<void>((resolve) => {
    socket.on("data", (chunk) => {
      came += chunk;
      if (came.length >= text.length) resolve();
    });
  });
  socket.write(text);
  await all;
  return came;
}

describe("the cutting proxy", () => {
  test("hands on bytes in order, and the end of a connection", async () => {
    await using net = await world();
    const socket = await call(net.proxy);
    const text = Array.from({ length: 50_000 }, (_, i) => i).join(",");
    assert.equal(await echo(socket, text), text);
    const ended = closed(net.seen[0] as Socket);
    socket.end();
    await ended;
  });

  test("keeps the order when a delay is taken back while bytes are under way", async () => {
    await using net = await world();
    const socket = await call(net.proxy);
    await echo(socket, "first");
    net.proxy.delay(20);
    const numbers = Array.from({ length: 200 }, (_, i) => `${i},`);
    let came = "";
    socket.removeAllListeners("data").on("data", (chunk) => (came += chunk));
    for (const [i, number] of numbers.entries()) {
      socket.write(number);
      if (i === 100) net.proxy.resume();
      await new Promise(setImmediate);
    }
    while (came.length < numbers.join("").length) await once(socket, "data");
    assert.equal(came, numbers.join(""));
    socket.destroy();
  });

  test("a cut is seen at both ends", async () => {
    await using net = await world();
    const socket = await call(net.proxy);
    await echo(socket, "x");
    const [near, far] = [closed(socket), closed(net.seen[0] as Socket)];
    net.proxy.cut();
    await Promise.all([near, far]);
    assert.equal(net.proxy.connections, 0);
  });

  test("a cut after so many bytes lets exactly those through", async () => {
    await using net = await world();
    const socket = await call(net.proxy);
    await echo(socket, "x");
    net.proxy.cutAfter(10);
    let came = "";
    socket.removeAllListeners("data").on("data", (chunk) => (came += chunk));
    const cut = closed(socket);
    socket.write("0123456789abcdef");
    await cut;
    assert.ok(came === "0123456789" || came === "", came);
  });

  test("a stall holds everything back until it is resumed", async () => {
    await using net = await world();
    const socket = await call(net.proxy);
    await echo(socket, "x");
    net.proxy.stall();
    const came: string[] = [];
    socket.removeAllListeners("data").on("data", (chunk) => came.push(String(chunk)));
    socket.write("held");
    // Another connection, made and answered meanwhile, shows that time has passed.
    const other = await call(net.proxy);
    await echo(other, "y");
    assert.deepEqual(came, []);
    net.proxy.resume();
    while (came.join("") !== "held") await once(socket, "data");
    for (const each of [socket, other]) each.destroy();
  });

  test("a half-open connection takes what is sent, and neither end learns that the other is gone", async () => {
    await using net = await world();
    const socket = await call(net.proxy);
    await echo(socket, "x");
    net.proxy.halfOpen();
    let came = "";
    socket.removeAllListeners("data").on("data", (chunk) => (came += chunk));
    socket.write("lost");
    net.seen[0]?.destroy();
    const other = await call(net.proxy);
    await echo(other, "y");
    assert.equal(came, "");
    assert.equal(socket.readyState, "open");
    for (const each of [socket, other]) each.destroy();
  });

  test("a muted connection is heard by who called, and not by the target", async () => {
    await using net = await world();
    const socket = await call(net.proxy);
    await echo(socket, "x");
    net.proxy.mute();
    socket.write("not heard");
    let came = "";
    socket.removeAllListeners("data").on("data", (chunk) => (came += chunk));
    net.seen[0]?.write("heard");
    while (came !== "heard") await once(socket, "data");
    socket.destroy();
  });

  test("while it refuses, connections are reset, and afterwards made", async () => {
    await using net = await world();
    net.proxy.refuse();
    const refused = connect(net.proxy.port, "127.0.0.1");
    refused.on("error", () => {});
    await closed(refused);
    net.proxy.resume();
    const socket = await call(net.proxy);
    assert.equal(await echo(socket, "z"), "z");
    socket.destroy();
  });

  test("one seed, one sequence of faults; and all faults come up", async () => {
    await using net = await world();
    const faults = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 60 }, () => net.proxy.misbehave(random));
    };
    assert.deepEqual(faults(7), faults(7));
    assert.equal(new Set(faults(7)).size, 7);
    net.proxy.resume();
  });
});
