/**
 * Answers of two brokers made comparable: ids that a broker chooses become names in the order in which they are first
 * heard of, what tells of the machine or the time becomes "*", and lists of things are sorted, as their order means nothing.
 */
import { type Api, type Field, type ResponseOf, type StructField, zeroUuid } from "../../../../src/kafka/fields.ts";
import { decodeResponseFrame, frameLengthBytes } from "../../../../src/kafka/frames.ts";
import { isControl, readBatchHeader } from "../../../../src/records/batch-header.ts";
import type { Exchange, Message } from "./script.ts";

/** Of the machine, the time, or of settings that only the test has. */
const masked: ReadonlySet<string> = new Set([
  "host",
  "port",
  "clusterId",
  "throttleTimeMs",
  "logDir",
  "totalBytes",
  "usableBytes",
  "heartbeatIntervalMs",
  "transactionStartTimeMs",
  "lastTimestamp",
  "finalizedFeaturesEpoch",
  "lastFetchTimestamp",
  "lastCaughtUpTimestamp",
  // What deleted records take until their segment goes.
  "partitionSize",
  // Words differ; that there are some, too.
  "errorMessage",
  "batchIndexErrorMessage",
]);

/** Named when they stand at the top of an answer; everywhere else they have the names that they got there. */
const idFields: Readonly<Record<string, string>> = {
  memberId: "member",
  leader: "member",
  producerId: "producer",
  sessionId: "session",
};

/** Longer lists of configs are all that there are. */
const configsMax = 9;

/** Beside -1, where no id is. */
const noId = 0;

/** The answers of one broker, in the order of the script. */
export class Comparable {
  readonly #names = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #topics = new Map<string, string>();

  of({ step, response }: Exchange): unknown {
    if (response === null) return "closed";
    const { response: message } = decodeResponseFrame(step.api, step.version, response.subarray(frameLengthBytes));
    return this.message(step.api, message);
  }

  message<A extends Api>({ response: spec }: A, message: ResponseOf<A>): unknown {
    this.#learn(message as Message);
    this.#learnTopics(message);
    return this.#value("", spec, message);
  }

  #learn(message: Message): void {
    for (const [field, kind] of Object.entries(idFields)) {
      const id = message[field];
      if (id === undefined || id === null || id === "" || id === noId || id === -1) continue;
      const key = `${kind} ${id}`;
      if (this.#names.has(key)) continue;
      const count = (this.#counts.get(kind) ?? 0) + 1;
      this.#counts.set(kind, count);
      this.#names.set(key, `${kind} #${count}`);
    }
  }

  #learnTopics(value: unknown): void {
    if (Array.isArray(value)) for (const each of value) this.#learnTopics(each);
    else if (value !== null && typeof value === "object" && !Buffer.isBuffer(value)) {
      const { name, topicId } = value as Message;
      if (typeof name === "string" && name !== "" && typeof topicId === "string" && topicId !== zeroUuid)
        this.#topics.set(topicId, `topic ${name}`);
      for (const each of Object.values(value)) this.#learnTopics(each);
    }
  }

  #value(name: string, field: Field, value: unknown): unknown {
    if (masked.has(name)) return "*";
    if (value === null) return null;
    const kind = idFields[name];
    if (kind !== undefined) return this.#names.get(`${kind} ${value}`) ?? withoutUuid(value);
    switch (field.kind) {
      case "uuid":
        return this.#topics.get(value as string) ?? value;
      case "records":
        return this.#batches(value as Buffer);
      case "bytes":
        return (value as Buffer).toString("base64");
      case "array":
        // Defaults are each broker's own; docs/reference/kafka-configs.md has them.
        if (name === "configs" && (value as unknown[]).length > configsMax) return "*";
        return this.#list(name, field.element, value as unknown[]);
      case "struct":
        return this.#struct(field, value as Message);
      default:
        return value;
    }
  }

  #struct({ fields }: StructField, value: Message): unknown {
    return Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [name, this.#value(name, field, value[name])]),
    );
  }

  /** Structs by what they are about, where that is unique. */
  #list(name: string, element: Field, values: readonly unknown[]): unknown {
    const all = values.filter((each) => !isInternal(each)).map((each) => this.#value(name, element, each));
    if (element.kind !== "struct") return name === "partitions" || element.kind === "string" ? all.sort() : all;
    const keyed: Record<string, unknown> = {};
    const texts = (all as Message[]).map((each) => ({ identity: identityOf(each), text: JSON.stringify(each), each }));
    for (const { identity, each } of texts.sort((a, b) => (a.text < b.text ? -1 : 1))) {
      let key = identity;
      // A topic may stand there in parts.
      const partitions = (keyed[key] as Message | undefined)?.partitions;
      if (partitions && each.partitions) Object.assign(partitions, each.partitions);
      if (partitions) continue;
      for (let twin = 2; key in keyed; twin++) key = `${identity} again ${twin}`;
      keyed[key] = each;
    }
    return keyed;
  }

  /** What a reader sees of them: the leader epoch and the time of a marker are the broker's. */
  #batches(bytes: Buffer): unknown {
    const batches = [];
    for (let position = 0; position + 61 <= bytes.length; ) {
      const header = readBatchHeader(bytes, position);
      const content = bytes.subarray(position + 61, position + header.sizeBytes);
      const { baseOffset, lastOffset, attributes, producerId, producerEpoch, baseSequence, recordCount } = header;
      batches.push({
        ...{ baseOffset, lastOffset, attributes, producerEpoch, baseSequence, recordCount },
        producerId: this.#names.get(`producer ${producerId}`) ?? producerId,
        // Of a marker the key alone: its value has the coordinator's epoch.
        records: isControl(attributes) ? content.subarray(0, 9).toString("base64") : content.toString("base64"),
      });
      position += header.sizeBytes;
    }
    return batches;
  }
}

/** Of an id that the broker made, and that nobody was told yet. */
function withoutUuid(id: unknown): unknown {
  return typeof id === "string" ? id.replace(/-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "-new") : id;
}

/** What an element of a list is about. */
const identities = [
  ...["name", "topicName", "topic", "groupId", "transactionalId", "key", "apiKey", "user", "feature"],
  ...["resourceType", "resourceName", "patternType", "partitionIndex", "partition", "partitionId", "index", "memberId"],
  ...["groupInstanceId", "producerId", "nodeId", "brokerId", "logDir", "entityType", "entityName", "entity"],
];

function identityOf(element: Message): string {
  const { name, topic, topicId } = element;
  if (!name && !topic && typeof topicId === "string") return topicId;
  const told = identities.map((each) => element[each]).filter((value) => value !== undefined && value !== "");
  return told.map((value) => (typeof value === "object" ? JSON.stringify(value) : String(value))).join(" ");
}

/** Each broker has topics of its own, whose names begin with an underscore. */
function isInternal(value: unknown): boolean {
  if (value === null || typeof value !== "object") return false;
  const { name, topic, resourceName } = value as Message;
  if (typeof resourceName === "string" && resourceName.startsWith("_")) return true;
  return (typeof name === "string" && name.startsWith("_")) || (typeof topic === "string" && topic.startsWith("_"));
}

export interface Difference {
  /** As in `topics[0].errorCode`. */
  readonly place: string;
  readonly ours: unknown;
  readonly kafkas: unknown;
}

export function differencesBetween(ours: unknown, kafkas: unknown, place = ""): Difference[] {
  if (Object.is(ours, kafkas)) return [];
  const bothObjects = typeof ours === "object" && typeof kafkas === "object" && ours !== null && kafkas !== null;
  if (!bothObjects || Array.isArray(ours) !== Array.isArray(kafkas)) return [{ place, ours, kafkas }];
  if (Array.isArray(ours) && Array.isArray(kafkas)) {
    if (ours.length !== kafkas.length) return [{ place, ours, kafkas }];
    return ours.flatMap((each, index) => differencesBetween(each, kafkas[index], `${place}[${index}]`));
  }
  const names = new Set([...Object.keys(ours), ...Object.keys(kafkas)]);
  return [...names].flatMap((name) => {
    const at = place === "" ? name : `${place}.${name}`;
    return differencesBetween((ours as Message)[name], (kafkas as Message)[name], at);
  });
}
