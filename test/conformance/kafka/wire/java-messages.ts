/** Messages with everything in them, as frames that Kafka's own classes have made. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { apis } from "../../../../src/kafka/apis.ts";
import type { Api, Field, StructField } from "../../../../src/kafka/fields.ts";
import { everyVersion, fullMessage, type Message } from "../../../../src/kafka/message.fixture.ts";
import { findJdk, kafkaClassPath, kafkaVersion } from "../../../../tools/kafka-parts.ts";

const path = join(import.meta.dirname, "../../../../src/kafka/java-messages.txt");

export type Side = "Request" | "Response";

export interface JavaMessage {
  readonly api: string;
  readonly version: number;
  readonly side: Side;
  /** Without its length. */
  readonly frame: Buffer;
}

/** What the recording was made from, and what a reader of it must find. */
export function fullMessages(): { api: Api; version: number; side: Side; message: Message }[] {
  return everyVersion(apis).flatMap(({ api, version }) =>
    (["Request", "Response"] as const).map((side) => ({
      ...{ api, version, side },
      message: fullMessage(structOf(api, side), version),
    })),
  );
}

export function structOf(api: Api, side: Side): StructField {
  return side === "Request" ? api.request : api.response;
}

export function readJavaMessages(): JavaMessage[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [frame = "", api = "", version = "", side] = line.split(" ");
      return { api, version: Number(version), side: side as Side, frame: Buffer.from(frame, "base64") };
    });
}

/** Throws when Kafka's classes read something else than was said, or know a field that we do not. */
export function recordJavaMessages(): number {
  const all = fullMessages();
  const told = all.map(({ api, side, message }) => {
    const text = JSON.stringify(jsonOf(structOf(api, side), message));
    return text.replaceAll(/"float (\d+)"/g, "$1.0");
  });
  const lines = all.map(({ api, version, side }, index) => `${api.key} ${version} ${side} ${told[index]}\n`);
  const java = spawnSync(join(findJdk() ?? "", "java"), ["-cp", kafkaClassPath(), "Messages"], {
    ...{ input: lines.join(""), encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  });
  if (java.status !== 0) throw new Error(`java: ${java.stderr}`);
  const answers = java.stdout.trimEnd().split("\n");
  const recorded = all.map(({ api, version, side }, index) => {
    const [frame, read] = splitOnce(answers[index] ?? "");
    const [ours, javas] = [told[index] ?? "", read].map((text) => ordered(JSON.parse(text)));
    if (ours !== javas) throw new Error(`${api.name} v${version} ${side}: Kafka has ${javas} where we have ${ours}`);
    return `${frame} ${api.name} ${version} ${side}\n`;
  });
  const head = `# Messages with every field filled, made by the classes of Kafka ${kafkaVersion}, in base64; written by test/conformance/kafka/record-frames.ts.\n`;
  writeFileSync(path, head + recorded.join(""));
  return recorded.length;
}

function splitOnce(line: string): [string, string] {
  const space = line.indexOf(" ");
  return [line.slice(0, space), line.slice(space + 1)];
}

/** As Kafka's converters have it: bytes in base64, ids as Kafka prints them. */
function jsonOf(field: Field, value: unknown): unknown {
  if (field.kind === "uuid") return Buffer.from((value as string).replaceAll("-", ""), "hex").toString("base64url");
  if (field.kind === "bytes" || field.kind === "records") return (value as Buffer).toString("base64");
  // A number without a point is none of Kafka's doubles.
  if (field.kind === "float64") return `float ${value}`;
  if (field.kind === "array") return (value as unknown[]).map((each) => jsonOf(field.element, each));
  if (field.kind !== "struct") return value;
  const parts = Object.entries(value as Message);
  return Object.fromEntries(parts.map(([name, part]) => [name, jsonOf(field.fields[name] as Field, part)]));
}

/** In the order of names. Records are left out: Kafka's converters write none. */
function ordered(value: unknown): string {
  return JSON.stringify(value, (_, part) => {
    if (part === null || typeof part !== "object" || Array.isArray(part)) return part;
    const names = Object.keys(part).filter((name) => !name.startsWith("records"));
    return Object.fromEntries(names.sort().map((name) => [name, part[name]]));
  });
}
