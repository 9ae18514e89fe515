/**
 * kcat of Debian's packages, with the librdkafka that Debian has: each operation is a run of the program. It makes no
 * topics, so another client makes those that it is to use.
 */
import { spawn } from "node:child_process";
import { findKcat } from "../../../tools/kafka-parts.ts";
import { type Arguments, type Client, isInternal, type Json, Refused, unsupported } from "./client.ts";
import { explicitTimestampMax } from "./member.ts";

interface Sent {
  readonly partition?: number;
  readonly key?: string | null;
  readonly value?: string | null;
  readonly valueBytes?: number;
  readonly timestamp?: number;
  readonly headers?: readonly (readonly [string, string | null])[];
}

interface Printed {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly tstype?: string;
  readonly ts?: number;
  readonly headers?: readonly (string | null)[];
  readonly key: string | null;
  readonly payload: string | null;
}

const runMsMax = 15_000;
const delimiter = "\u0001";

export function openKcat(bootstrap: string, maker: Client): Client {
  const run = (args: readonly string[], input = "") =>
    runKcat(["-b", bootstrap, "-X", "allow.auto.create.topics=false", ...args], input);
  const operations: Readonly<Record<string, (args: never) => Promise<Json>>> = {
    createTopic: async ({ prepare, ...args }: Arguments) => {
      if (prepare !== true) throw new Refused(unsupported, "topics");
      return maker.run("createTopic", args);
    },
    listTopics: async () => {
      const { topics } = JSON.parse(await run(["-L", "-J"])) as { topics: { topic: string }[] };
      return topics
        .map(({ topic }) => topic)
        .filter((topic) => !isInternal(topic))
        .sort();
    },
    describeTopic: async ({ topic }: { topic: string }) => {
      const { topics } = JSON.parse(await run(["-L", "-J", "-t", topic])) as {
        topics: { error?: string; partitions: { partition: number; leader: number; replicas: []; isrs: [] }[] }[];
      };
      const { error, partitions = [] } = topics[0] ?? {};
      if (error !== undefined) throw new Refused(error, topic);
      return {
        partitions: partitions
          .toSorted((a, b) => a.partition - b.partition)
          .map(({ partition, leader, replicas, isrs }) => ({
            ...{ partition, led: leader >= 0, replicas: replicas.length, inSync: isrs.length },
          })),
      };
    },
    describeCluster: async () => {
      const { brokers, controllerid } = JSON.parse(await run(["-L", "-J"])) as { brokers: []; controllerid: number };
      return { nodes: brokers.length, controlled: controllerid >= 0 };
    },
    listOffset: async ({ topic, partition, at, committed }: { topic: string; partition: number } & Arguments) => {
      const spot = typeof at === "number" ? at : { latest: -1, earliest: -2 }[String(at)];
      if (spot === undefined || committed === true) throw new Refused(unsupported, String(at));
      const said = await run(["-Q", "-t", `${topic}:${partition}:${spot}`]);
      return { offset: Number(/offset (-?\d+)/.exec(said)?.[1] ?? Number.NaN) };
    },
    produce: async ({ topic, records, ...how }: { topic: string; records: Sent[] } & Arguments) => {
      const settings = (how.settings ?? {}) as Record<string, string>;
      const flags = [
        ...(how.compression === undefined ? [] : ["-z", String(how.compression)]),
        ...(how.acks === undefined ? [] : ["-X", `acks=${how.acks}`]),
        ...(how.idempotent === true ? ["-X", "enable.idempotence=true"] : []),
        ...Object.entries({ "message.timeout.ms": "10000", ...settings })
          .filter(([name]) => name.startsWith("message."))
          .flatMap(([name, value]) => ["-X", `${name}=${value}`]),
      ];
      for (const { args, input } of runsOf(records)) {
        await run(["-P", "-X", "allow.auto.create.topics=true", "-t", topic, ...flags, ...args], input);
      }
      return "written";
    },
    read: async ({ topic, partition, from, reset, committed }: { topic: string } & Arguments) => {
      const said = await run([
        ...["-C", "-e", "-q", "-J", "-t", topic, "-o", from === undefined ? "beginning" : String(from)],
        ...(partition === undefined ? [] : ["-p", String(partition)]),
        ...["-X", `auto.offset.reset=${reset === "none" ? "error" : (reset ?? "earliest")}`],
        ...["-X", `isolation.level=${committed === true ? "read_committed" : "read_uncommitted"}`],
      ]);
      return tellAll(said);
    },
    groupTake: async ({ group, topic, count }: { group: string; topic: string; count: number }) => {
      const flags = ["-q", "-J", "-c", String(count), "-X", "auto.offset.reset=earliest", "-G", group, topic];
      return tellAll(await run(flags));
    },
  };
  return {
    async run(operation, args) {
      const work = operations[operation];
      if (work === undefined) throw new Refused(unsupported, operation);
      return work(args as never);
    },
    close: () => maker.close(),
  };
}

/** Neighbours that one run of the program can write are written by one. */
function runsOf(records: readonly Sent[]): { args: string[]; input: string }[] {
  const runs: { args: string[]; input: string }[] = [];
  for (const { partition, key, value, valueBytes, timestamp, headers } of records) {
    if (timestamp !== undefined) throw new Refused(unsupported, "a record's time");
    const args = ["-D", "\n", "-p", String(partition ?? -1)];
    if (key !== undefined && key !== null) args.push("-K", delimiter);
    if (key === "" || value === "") throw new Refused(unsupported, "nothing as text");
    if (value === null) args.push("-Z");
    for (const [name, text] of headers ?? []) {
      if (text === null) throw new Refused(unsupported, "null headers");
      args.push("-H", `${name}=${text}`);
    }
    const text = valueBytes === undefined ? (value ?? "") : "x".repeat(valueBytes);
    const input = typeof key === "string" ? `${key}${delimiter}${text}\n` : `${text}\n`;
    const last = runs.at(-1);
    if (last?.args.join("\0") === args.join("\0")) last.input += input;
    else runs.push({ args, input });
  }
  return runs;
}

function tellAll(said: string): Json {
  const records = said
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Printed);
  return records
    .toSorted((a, b) => a.partition - b.partition || a.offset - b.offset)
    .map(({ topic, partition, offset, tstype, ts, headers, key, payload }) => ({
      at: `${topic}-${partition}@${offset}`,
      key,
      value: payload !== null && payload.length > 200 ? `${payload.length} bytes` : payload,
      ...(headers === undefined ? {} : { headers }),
      ...(ts !== undefined && ts < explicitTimestampMax ? { timestamp: ts } : {}),
      timestampType: tstype ?? null,
    }));
}

/** What it prints; a refusal has librdkafka's words, without names and numbers. */
function runKcat(args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(findKcat() ?? "kcat", args, { stdio: ["pipe", "pipe", "pipe"], timeout: runMsMax });
    let said = "";
    let words = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      words = (words + chunk).slice(-10_000);
    });
    child.on("error", reject);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("close", (code, signal) => {
      // Which of the two it is depends on when librdkafka looks at what the broker has said of the topic.
      const gone = /Local: Unknown topic|Broker: Invalid topic/.test(words) ? "no such topic" : undefined;
      const known = gone ?? /((?:Broker|Local): [^\n(]*[^\s\n(:.])/.exec(words)?.[1];
      if (signal !== null) reject(new Refused("hangs", words));
      else if (code === 0 && !/Delivery failed|ERROR: /.test(words)) resolve(said);
      else reject(new Refused(known ?? "fails", words));
    });
  });
}
