/** Where clients of Kafka find the program: what it tells them to connect to, and what it says when they speak otherwise. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Partitioners, type Producer } from "kafkajs";
import { authority, serverCertificate, serverKey } from "../../src/broker/certificates.fixture.ts";
import { findConfluentPython } from "../../tools/kafka-parts.ts";
import { type KafkaDoor, startDoor } from "../support/kafka-door.ts";
import { freePort } from "../support/ports.ts";
import { eventually, runProgram } from "../support/program.ts";
import type { Client } from "./kafka/client.ts";
import { openKafkajs, openLibrdkafka } from "./secured/clients.ts";

const noSecond = (await canListen("127.0.0.2")) ? false : "skipped: 127.0.0.2 is no address of this machine";
const noSix = (await canListen("::1")) ? false : "skipped: this machine has no IPv6";
const noPython = findConfluentPython() ? false : "skipped: confluent-kafka could not be had";

function canListen(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(0, host, () => probe.close(() => resolve(true)));
  });
}

/** A mapped port: what a container's host or a proxy does. */
class MappedPort {
  readonly port: number;
  target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(port: number, target: number) {
    this.port = port;
    this.target = target;
  }

  open(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.target, "127.0.0.1");
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    this.#server = server;
    return new Promise((resolve, reject) => server.once("error", reject).listen(this.port, "127.0.0.1", resolve));
  }

  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()));
    for (const socket of this.#sockets) socket.destroy();
    return closed;
  }
}

describe("the listeners of the program", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-listeners-"));
  const names = ["INSIDE", "OUTSIDE", "SECURE", ...(noSix ? [] : ["SIX"])] as const;
  let door: KafkaDoor;
  let outside: MappedPort;
  let python: Client | undefined;

  before(async () => {
    writeFileSync(join(folder, "ca.pem"), authority);
    writeFileSync(join(folder, "server.pem"), serverCertificate);
    writeFileSync(join(folder, "key.pem"), serverKey);
    outside = new MappedPort(await freePort(), 0);
    const hosts = { INSIDE: "0.0.0.0", OUTSIDE: "127.0.0.1", SECURE: "0.0.0.0", SIX: "[::]" };
    const protocols = { INSIDE: "PLAINTEXT", OUTSIDE: "PLAINTEXT", SECURE: "SSL", SIX: "PLAINTEXT" };
    door = await startDoor({
      MILLRACE_KAFKA_LISTENERS: names.map((name) => `${name}://${hosts[name as "SIX"]}:0`).join(","),
      MILLRACE_KAFKA_LISTENER_PROTOCOLS: names.map((name) => `${name}:${protocols[name as "SIX"]}`).join(","),
      MILLRACE_KAFKA_ADVERTISED_LISTENERS: `OUTSIDE://127.0.0.1:${outside.port}`,
      MILLRACE_KAFKA_ANONYMOUS: "anywhere",
      MILLRACE_KAFKA_TLS_CERTIFICATE: join(folder, "server.pem"),
      MILLRACE_KAFKA_TLS_KEY: join(folder, "key.pem"),
    });
    outside.target = portOf("OUTSIDE");
    await outside.open();
    if (!noPython) python = openLibrdkafka();
  });

  after(async () => {
    await python?.close();
    await outside?.close();
    await door?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  function portOf(name: string): number {
    return Number(/:(\d+)$/.exec(door.program.kafkaListeners[name] ?? "")?.[1]);
  }

  const trust = { ca: authority };
  const words = () => door.program.words();

  /** What kafkajs is told; it writes there. */
  async function toldKafkajs(bootstrap: string, ssl?: typeof trust): Promise<string> {
    const kafka = openKafkajs({ brokers: [bootstrap], ...(ssl && { ssl }) });
    const admin = kafka.admin();
    const producer = producerOf(bootstrap, ssl);
    try {
      await admin.connect();
      const { brokers } = await admin.describeCluster();
      await producer.connect();
      await producer.send({ topic: "letters", messages: [{ value: bootstrap }] });
      return brokers.map(({ host, port }) => `${host}:${port}`).join();
    } finally {
      await admin.disconnect();
      await producer.disconnect();
    }
  }

  function producerOf(bootstrap: string, ssl?: typeof trust): Producer {
    const kafka = openKafkajs({
      brokers: [bootstrap],
      retry: { retries: 2, initialRetryTime: 20 },
      ...(ssl && { ssl }),
    });
    return kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  }

  async function toldLibrdkafka(bootstrap: string, more: { readonly [name: string]: string } = {}): Promise<string> {
    const config = { "bootstrap.servers": bootstrap, ...more };
    const told = (await python?.run("brokers", { config })) as string[];
    await python?.run("produce", { config, topic: "letters", value: bootstrap });
    return told.join();
  }

  test("a client on the same machine is told the address that it has connected to", async () => {
    const address = `127.0.0.1:${portOf("INSIDE")}`;
    assert.equal(await toldKafkajs(address), address);
    if (python) assert.equal(await toldLibrdkafka(address), address);
  });

  test("so is one that comes by another address of the machine", { skip: noSecond }, async () => {
    const address = `127.0.0.2:${portOf("INSIDE")}`;
    assert.equal(await toldKafkajs(address), address);
    if (python) assert.equal(await toldLibrdkafka(address), address);
  });

  test("under TLS it is the name that it has connected to, for which the certificate is", async () => {
    const address = `localhost:${portOf("SECURE")}`;
    assert.equal(await toldKafkajs(address, trust), address);
    const tls = { "security.protocol": "SSL", "ssl.ca.location": join(folder, "ca.pem") };
    if (python) assert.equal(await toldLibrdkafka(address, tls), address);
  });

  // kafkajs takes no brackets.
  test("a listener of IPv6 is reached by both kinds of addresses", { skip: noSix || noPython }, async () => {
    const port = portOf("SIX");
    assert.equal(await toldLibrdkafka(`[::1]:${port}`), `::1:${port}`);
    assert.equal(await toldLibrdkafka(`127.0.0.1:${port}`), `127.0.0.1:${port}`);
  });

  test("behind a mapped port that is not advertised a client ends up at the real one", async () => {
    const mapped = new MappedPort(await freePort(), portOf("INSIDE"));
    await mapped.open();
    const producer = producerOf(`127.0.0.1:${mapped.port}`);
    await producer.connect();
    await producer.send({ topic: "letters", messages: [{ value: "a" }] });
    await mapped.close();
    await producer.send({ topic: "letters", messages: [{ value: "b" }] });
    await producer.disconnect();
  });

  test("behind a mapped port that is advertised a client stays there", async () => {
    const mapped = `127.0.0.1:${outside.port}`;
    assert.equal(await toldKafkajs(mapped), mapped);
    if (python) assert.equal(await toldLibrdkafka(mapped), mapped);
    assert.equal(await toldKafkajs(`127.0.0.1:${portOf("OUTSIDE")}`), mapped, "wherever it came in");
    const producer = producerOf(mapped);
    await producer.connect();
    await producer.send({ topic: "letters", messages: [{ value: "a" }] });
    await outside.close();
    await assert.rejects(producer.send({ topic: "letters", messages: [{ value: "lost" }] }));
    await outside.open();
    await eventually(() => producer.send({ topic: "letters", messages: [{ value: "b" }] }).catch(() => undefined));
    await producer.disconnect();
  });

  test("who speaks TLS to a plain listener, plain to one with TLS, or HTTP is told of, and others go on", async () => {
    const open = producerOf(`127.0.0.1:${portOf("INSIDE")}`);
    const openTls = producerOf(`localhost:${portOf("SECURE")}`, trust);
    await Promise.all([open.connect(), openTls.connect()]);
    const plainAddress = `127.0.0.1:${portOf("INSIDE")}`;
    const tlsAddress = `127.0.0.1:${portOf("SECURE")}`;
    await assert.rejects(toldKafkajs(plainAddress, trust));
    await assert.rejects(toldKafkajs(tlsAddress));
    if (python) {
      const tls = { "security.protocol": "SSL", "ssl.ca.location": join(folder, "ca.pem") };
      const message = { topic: "letters", value: "lost" };
      await assert.rejects(
        python.run("produce", { config: { "bootstrap.servers": plainAddress, ...tls }, ...message }),
      );
      await assert.rejects(python.run("produce", { config: { "bootstrap.servers": tlsAddress }, ...message }));
    }
    await assert.rejects(fetch(`http://${plainAddress}`));
    await assert.rejects(fetch(`http://${tlsAddress}`));
    await eventually(async () => /it speaks HTTP, not Kafka's protocol/.test(words()) || undefined);
    assert.match(words(), /it speaks TLS, and this listener does not/);
    assert.match(words(), /it does not speak TLS, and this listener does/);
    assert.doesNotMatch(words(), /TLS (could not be|was) agreed on/, "each of them is known for what it is");
    for (const producer of [open, openTls]) {
      await producer.send({ topic: "letters", messages: [{ value: "still here" }] });
      await producer.disconnect();
    }
  });

  test("who does not trust the certificate is told of too", async () => {
    await assert.rejects(toldKafkajs(`localhost:${portOf("SECURE")}`, { ca: "" }));
    await eventually(async () => /it hung up before TLS was agreed on/.test(words()) || undefined);
    if (!python) return;
    const config = { "bootstrap.servers": `localhost:${portOf("SECURE")}`, "security.protocol": "SSL" };
    await assert.rejects(python.run("produce", { config, topic: "letters", value: "lost" }));
    await eventually(async () => /TLS could not be agreed on: .*alert/.test(words()) || undefined);
  });
});

describe("the port of the door", () => {
  const script = ["src/cli/millrace.ts", "start", "test/crash/process/empty-app.ts"];

  test("MILLRACE_KAFKA_PORT=off leaves the door shut", async () => {
    await using program = await runProgram({ script, env: { MILLRACE_KAFKA_PORT: "off" } });
    assert.equal(program.kafka, "");
    const running = JSON.parse(readFileSync(join(program.data, "running.json"), "utf8"));
    assert.equal(running.addresses.kafka, null);
    assert.doesNotMatch(program.words(), /Kafka protocol/);
  });

  test("a port that was asked for and is taken ends the start with what is to be done", async () => {
    const other = createServer();
    const port = await freePort();
    await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
    try {
      for (const env of [
        { MILLRACE_KAFKA_PORT: `${port}` },
        {
          MILLRACE_KAFKA_LISTENERS: `PLAINTEXT://127.0.0.1:0,EXTRA://127.0.0.1:${port}`,
          MILLRACE_KAFKA_LISTENER_PROTOCOLS: "EXTRA:PLAINTEXT",
        },
      ]) {
        await assert.rejects(runProgram({ script, env }), (error: Error) => {
          assert.match(error.message, /^the program ended with 3:/);
          assert.match(error.message, /PORT_TAKEN/);
          assert.match(error.message, new RegExp(`port ${port} of 127\\.0\\.0\\.1 is in use`));
          assert.match(error.message, new RegExp(Object.keys(env)[0] as string));
          return true;
        });
      }
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });
});
