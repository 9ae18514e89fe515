/**
 * A real Kafka in processes of its own on loopback, from the jars that `tools/kafka-parts.ts` has fetched: one KRaft node
 * that is broker and controller, or a few of them as one cluster.
 *
 * Always true: no process outlives the one that started it, and every wait is for an answer.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { findJdk, kafkaClassPath } from "../../tools/kafka-parts.ts";
import { freePort } from "./ports.ts";

export { kafkaMissing } from "../../tools/kafka-parts.ts";

export interface KafkaOptions {
  /** 1 when left out. Three of them keep internal topics threefold, and want two in sync. */
  readonly nodes?: number;
  /** Of `server.properties`; they win over what stands here. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Listeners beside PLAINTEXT, by name: `{ SASL: "SASL_PLAINTEXT" }`. */
  readonly listeners?: Readonly<Record<string, "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL">>;
  /** Passwords by name, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 at every listener with SASL. */
  readonly users?: Readonly<Record<string, string>>;
  /** In PEM, for listeners with TLS. The key is PKCS #8. */
  readonly certificate?: { readonly key: string; readonly chain: string };
  /** Levels of features, as `{ "transaction.version": 2 }`, which is the default. */
  readonly features?: Readonly<Record<string, number>>;
  readonly heapMegabytes?: number;
  /** In place of those that make a start quick. */
  readonly jvmArguments?: readonly string[];
}

export interface KafkaNode {
  readonly id: number;
  /** Of the PLAINTEXT listener. */
  readonly address: string;
  /** Of the last start. */
  readonly process: ChildProcess;
  /** On the same ports and folder; resolves when it answers. */
  start(): Promise<void>;
  /** SIGTERM, with Kafka's own orderly end. */
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** The last that it printed, for a failing test. */
  words(): string;
}

export interface Kafka {
  /** Of all nodes' PLAINTEXT listeners, parted by commas. */
  readonly bootstrap: string;
  readonly nodes: readonly [KafkaNode, ...KafkaNode[]];
  readonly folder: string;
  bootstrapOf(listener: string): string;
  /** Kills what runs and removes the files. */
  [Symbol.asyncDispose](): Promise<void>;
}

interface Ports {
  readonly controller: number;
  readonly byListener: ReadonlyMap<string, number>;
}

/** Resolves when every node answers and knows all others. */
export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  for (let attempt = 1; ; attempt++) {
    const kafka = await prepare(options);
    try {
      await Promise.all(kafka.nodes.map((node) => node.start()));
      return kafka;
    } catch (error) {
      await kafka[Symbol.asyncDispose]();
      // A port that was free a moment ago.
      if (attempt >= 3 || !/Address already in use|BindException/.test(String(error))) throw error;
    }
  }
}

async function prepare(options: KafkaOptions): Promise<Kafka> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-kafka-"));
  const listeners = ["PLAINTEXT", ...Object.keys(options.listeners ?? {})];
  const ports = await Promise.all(
    Array.from({ length: options.nodes ?? 1 }, async (): Promise<Ports> => {
      const byListener = new Map<string, number>();
      for (const name of listeners) byListener.set(name, await freePort());
      return { controller: await freePort(), byListener };
    }),
  );
  const logging = join(folder, "log4j2.properties");
  writeFileSync(logging, loggingProperties);
  const clusterId = "millrace-conformance-w";
  const nodes = ports.map((_, index) => {
    const data = join(folder, String(index + 1));
    mkdirSync(data);
    const properties = join(folder, `${index + 1}.properties`);
    writeFileSync(properties, propertiesOf(options, ports, index, data));
    const address = `127.0.0.1:${ports[index]?.byListener.get("PLAINTEXT")}`;
    const command = [
      `-Xmx${options.heapMegabytes ?? 512}m`,
      ...(options.jvmArguments ?? ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]),
      `-Dlog4j2.configurationFile=${logging}`,
      ...["-cp", kafkaClassPath(), "Broker", properties, "-t", clusterId, ...formatArguments(options)],
    ];
    return openNode({ id: index + 1, address, command, count: ports.length });
  });
  const bootstrapOf = (listener: string) =>
    ports.map(({ byListener }) => `127.0.0.1:${byListener.get(listener) ?? "?"}`).join(",");
  return {
    bootstrap: bootstrapOf("PLAINTEXT"),
    nodes: nodes as unknown as [KafkaNode, ...KafkaNode[]],
    folder,
    bootstrapOf,
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.kill()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function propertiesOf(options: KafkaOptions, ports: readonly Ports[], index: number, data: string): string {
  const others = options.listeners ?? {};
  const own = ports[index] as Ports;
  const addresses = [...own.byListener].map(([name, port]) => `${name}://127.0.0.1:${port}`);
  const copies = String(Math.min(ports.length, 3));
  const inSync = ports.length >= 3 ? "2" : "1";
  const values: Record<string, string> = {
    "process.roles": "broker,controller",
    "node.id": String(index + 1),
    listeners: [...addresses, `CONTROLLER://127.0.0.1:${own.controller}`].join(","),
    "advertised.listeners": addresses.join(","),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": Object.entries({ CONTROLLER: "PLAINTEXT", PLAINTEXT: "PLAINTEXT", ...others })
      .map(([name, protocol]) => `${name}:${protocol}`)
      .join(","),
    "controller.quorum.voters": ports.map(({ controller }, i) => `${i + 1}@127.0.0.1:${controller}`).join(","),
    "log.dirs": data,
    "offsets.topic.replication.factor": copies,
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": copies,
    "transaction.state.log.min.isr": inSync,
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": copies,
    "share.coordinator.state.topic.min.isr": inSync,
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    // Else members of the newer protocol hear of a change after five seconds.
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "200",
    // A killed node is let in again when its last session is over.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
  };
  if (ports.length > 1) Object.assign(values, { "default.replication.factor": copies, "min.insync.replicas": inSync });
  for (const [listener, protocol] of Object.entries(others)) {
    if (protocol.startsWith("SASL")) Object.assign(values, saslProperties(listener, options.users ?? {}));
  }
  if (options.certificate !== undefined) {
    values["ssl.keystore.type"] = "PEM";
    values["ssl.keystore.key"] = options.certificate.key;
    values["ssl.keystore.certificate.chain"] = options.certificate.chain;
  }
  return Object.entries({ ...values, ...options.properties })
    .map(([name, value]) => `${name}=${value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n`)
    .join("");
}

function saslProperties(listener: string, users: Readonly<Record<string, string>>): Record<string, string> {
  const prefix = `listener.name.${listener.toLowerCase()}`;
  const module = "org.apache.kafka.common.security";
  const accounts = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`);
  return {
    [`${prefix}.sasl.enabled.mechanisms`]: "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    [`${prefix}.plain.sasl.jaas.config`]: `${module}.plain.PlainLoginModule required ${accounts.join(" ")};`,
    [`${prefix}.scram-sha-256.sasl.jaas.config`]: `${module}.scram.ScramLoginModule required;`,
    [`${prefix}.scram-sha-512.sasl.jaas.config`]: `${module}.scram.ScramLoginModule required;`,
  };
}

function formatArguments(options: KafkaOptions): string[] {
  const mechanisms = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
  return [
    ...Object.entries(options.users ?? {}).flatMap(([name, password]) =>
      mechanisms.flatMap((mechanism) => ["--add-scram", `${mechanism}=[name=${name},password=${password}]`]),
    ),
    ...Object.entries(options.features ?? {}).flatMap(([name, level]) => ["--feature", `${name}=${level}`]),
  ];
}

const loggingProperties = `rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %m (%c{1})%n%throwable
`;

interface NodePlan {
  readonly id: number;
  readonly address: string;
  readonly command: readonly string[];
  /** Of nodes in the cluster. */
  readonly count: number;
}

function openNode({ id, address, command, count }: NodePlan): KafkaNode {
  const java = join(findJdk() ?? "", "java");
  let child: ChildProcess | undefined;
  let words = "";
  const over = () => child === undefined || child.exitCode !== null || child.signalCode !== null;
  const end = async (signal: NodeJS.Signals) => {
    if (over()) return;
    const gone = once(child as ChildProcess, "exit");
    child?.kill(signal);
    await gone;
  };
  return {
    id,
    address,
    get process() {
      if (child === undefined) throw new Error("this node was never started");
      return child;
    },
    async start() {
      if (!over()) throw new Error(`node ${id} runs already`);
      child = spawn(java, command, { stdio: ["pipe", "pipe", "pipe"] });
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on("data", (chunk) => {
          words = (words + chunk).slice(-20_000);
        });
      }
      while ((await nodesSeenBy(address)) < count) {
        if (over()) throw new Error(`Kafka ended with ${child.exitCode ?? child.signalCode}:\n${words}`);
        await systemClock.sleep(25);
      }
    },
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    words: () => words,
  };
}

/** Metadata, version 1, about no topic: how many brokers it tells of. 0 when nobody answers. */
export function nodesSeenBy(address: string): Promise<number> {
  const [host = "", port = ""] = address.split(":");
  const request = Buffer.alloc(18);
  request.writeInt32BE(14, 0);
  request.writeInt16BE(3, 4);
  request.writeInt16BE(1, 6);
  request.writeInt32BE(7, 8);
  request.writeInt16BE(-1, 12);
  // The count of topics, 0, is what is left.
  return new Promise((resolve) => {
    const socket = createConnection({ host, port: Number(port) });
    let answer: Buffer = Buffer.alloc(0);
    const done = (count: number) => {
      socket.destroy();
      resolve(count);
    };
    socket.setTimeout(1_000, () => done(0));
    socket.on("error", () => done(0));
    socket.on("close", () => done(0));
    socket.on("connect", () => socket.write(request));
    socket.on("data", (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length >= 12) done(answer.readInt32BE(8));
    });
  });
}
