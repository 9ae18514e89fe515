/** Three clients that nobody has changed, each of which can write a value as somebody and read it back. */
import { randomUUID } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Kafka, type KafkaConfig, logLevel, Partitioners } from "kafkajs";
import { findConfluentPython, findJdk, kafkaClassPath } from "../../../tools/kafka-parts.ts";
import { type Client, openProcessClient } from "../kafka/client.ts";
import type { Login, LoginForms } from "./login.ts";

export interface SecuredClient {
  readonly name: string;
  write(login: Login, topic: string, value: string): Promise<void>;
  /** Of partition 0. */
  read(login: Login, topic: string, offset: number, count: number): Promise<string[]>;
  /** What the client calls it when it is not let in: an error whose words are for people. */
  readonly refusal: RegExp;
}

const tools = {
  topics: "org.apache.kafka.tools.TopicCommand",
  configs: "kafka.admin.ConfigCommand",
  acls: "org.apache.kafka.tools.AclCommand",
  produce: "org.apache.kafka.tools.ConsoleProducer",
  consume: "org.apache.kafka.tools.consumer.ConsoleConsumer",
} as const;

export type Tool = keyof typeof tools;

export interface Said {
  readonly exitCode: number | string;
  readonly out: string;
  readonly err: string;
}

export class JavaTools {
  readonly #forms: LoginForms;
  readonly #process: Client;

  constructor(forms: LoginForms) {
    this.#forms = forms;
    const flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=OFF"];
    const allowed = `-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${forms.tokenAddress}`;
    const source = join(import.meta.dirname, "ConsoleTools.java");
    const java = join(findJdk() ?? "", "java");
    this.#process = openProcessClient(java, [...flags, allowed, "-cp", kafkaClassPath(), source]);
  }

  async run(login: Login, tool: Tool, words: readonly string[], input = ""): Promise<Said> {
    const path = this.#forms.path(`${randomUUID()}.properties`);
    writeFileSync(path, `${this.#forms.java(login)}request.timeout.ms=10000\ndefault.api.timeout.ms=10000\n`);
    try {
      const args = ["--bootstrap-server", login.address, "--command-config", path, ...words];
      return (await this.#process.run("tool", { tool: tools[tool], args, input })) as unknown as Said;
    } finally {
      rmSync(path, { force: true });
    }
  }

  close(): Promise<void> {
    return this.#process.close();
  }
}

export function javaClient(java: JavaTools): SecuredClient {
  const run = async (login: Login, tool: Tool, args: readonly string[], input?: string) => {
    const said = await java.run(login, tool, args, input);
    if (said.exitCode !== 0) throw new Error(`${tool}: ${said.exitCode}\n${said.out}\n${said.err}`);
    return said;
  };
  return {
    name: "Java's tools",
    refusal: /Authentication failed|SSL|post-handshake/,
    async write(login, topic, value) {
      // The console's producer tells nobody of its errors.
      await run(login, "topics", ["--list"]);
      await run(login, "produce", ["--topic", topic], `${value}\n`);
    },
    async read(login, topic, offset, count) {
      const from = ["--topic", topic, "--partition", "0", "--offset", `${offset}`, "--max-messages", `${count}`];
      const { out } = await run(login, "consume", [...from, "--timeout-ms", "15000"]);
      return out.split("\n").filter((line) => line !== "");
    },
  };
}

export function openLibrdkafka(): Client {
  const script = join(import.meta.dirname, "client.py");
  return openProcessClient(findConfluentPython() ?? "", ["-B", script]);
}

export function librdkafkaClient(python: Client, forms: LoginForms): SecuredClient {
  return {
    name: "librdkafka",
    refusal: /_AUTHENTICATION|_SSL|_ALL_BROKERS_DOWN/,
    async write(login, topic, value) {
      await python.run("produce", { config: forms.librdkafka(login), topic, value });
    },
    async read(login, topic, offset, count) {
      return (await python.run("read", { config: forms.librdkafka(login), topic, offset, count })) as string[];
    },
  };
}

/** Nothing is tried again, so that what is refused is told. */
export function openKafkajs(config: KafkaConfig): Kafka {
  return new Kafka({ logLevel: logLevel.NOTHING, connectionTimeout: 10_000, retry: { retries: 0 }, ...config });
}

export function kafkajsClient(forms: LoginForms): SecuredClient {
  return {
    name: "kafkajs",
    refusal: /SASL|certificate|Closed connection|socket|ECONNRESET|EPIPE/i,
    async write(login, topic, value) {
      const kafka = openKafkajs(forms.kafkajs(login));
      const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
      try {
        await producer.connect();
        await producer.send({ topic, messages: [{ value }] });
      } finally {
        await producer.disconnect();
      }
    },
    async read(login, topic, offset, count) {
      const values: string[] = [];
      const consumer = openKafkajs({ ...forms.kafkajs(login), retry: { retries: 5 } }).consumer({
        groupId: `letters-kafkajs-${randomUUID()}`,
      });
      try {
        await consumer.connect();
        await consumer.subscribe({ topic, fromBeginning: true });
        const whole = Promise.withResolvers<void>();
        consumer.on("consumer.crash", ({ payload }) => whole.reject(payload.error));
        await consumer.run({
          autoCommit: false,
          eachMessage: async ({ message }) => {
            if (Number(message.offset) >= offset) values.push(message.value?.toString() ?? "");
            if (values.length >= count) whole.resolve();
          },
        });
        await whole.promise;
      } finally {
        await consumer.disconnect();
      }
      return values.slice(0, count);
    },
  };
}
