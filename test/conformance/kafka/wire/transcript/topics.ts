/** Topics made, grown, deleted, configured and looked at. */
import { alterConfigs } from "../../../../../src/kafka/apis/alter-configs.ts";
import { createPartitions } from "../../../../../src/kafka/apis/create-partitions.ts";
import { createTopics } from "../../../../../src/kafka/apis/create-topics.ts";
import { deleteTopics } from "../../../../../src/kafka/apis/delete-topics.ts";
import { describeConfigs } from "../../../../../src/kafka/apis/describe-configs.ts";
import { describeTopicPartitions } from "../../../../../src/kafka/apis/describe-topic-partitions.ts";
import { electLeaders } from "../../../../../src/kafka/apis/elect-leaders.ts";
import { incrementalAlterConfigs } from "../../../../../src/kafka/apis/incremental-alter-configs.ts";
import { metadata } from "../../../../../src/kafka/apis/metadata.ts";
import { zeroUuid } from "../../../../../src/kafka/fields.ts";
import { strangeId } from "../scenario/topics.ts";
import type { Seen } from "../script.ts";
import type { World } from "./world.ts";

const timeoutMs = 10_000;

export function makesTopics(world: World): void {
  const { choice } = world;
  const count = 1 + choice.below(2);
  const topics = Array.from({ length: count }, () => ({
    name: world.anyTopic(),
    ...placed(world),
    configs: configs(world).map(({ name, value }) => ({ name, value })),
  }));
  world.add(createTopics, { topics, timeoutMs, validateOnly: choice.chance(0.1) });
}

function placed({ choice }: World) {
  const isManual = choice.chance(0.15);
  const partitionCounts = [-1, 1, 2, 3, 0, -2, -2_147_483_648, 20_000, 2_147_483_647] as const;
  const numPartitions = isManual ? choice.usually(-1, [1, 2]) : choice.usually(choice.of([1, 2, 3]), partitionCounts);
  const replicationFactor = isManual ? choice.usually(-1, [1]) : choice.usually(1, [-1, 0, 2, -5, 32_767], 0.85);
  const indexes = choice.usually([0, 1], [[0, 0], [1], [-1], [0, 5]]);
  const brokerIds = () => choice.usually([1], [[], [1, 1], [2], [-1], [1, 2]], 0.85);
  const assignments = isManual ? indexes.map((partitionIndex) => ({ partitionIndex, brokerIds: brokerIds() })) : [];
  return { numPartitions, replicationFactor, assignments };
}

const settings = {
  "cleanup.policy": ["compact", "delete", "compact,delete", "", "none", null],
  "retention.ms": ["-1", "1000000000000", "-2", "x", "", null],
  "max.message.bytes": ["1000000", "-1", "0", "abc"],
  "compression.type": ["producer", "gzip", "zip", "uncompressed"],
  "min.cleanable.dirty.ratio": ["0.3", "2", "-0.5"],
  "message.timestamp.type": ["CreateTime", "Never"],
  "segment.bytes": ["104857600", "1", "-1"],
  "no.such.config": ["1"],
} as const satisfies Record<string, readonly (string | null)[]>;

function configs({ choice }: World): { name: keyof typeof settings; value: string | null }[] {
  if (choice.chance(0.6)) return [];
  const names = choice.some(Object.keys(settings) as [keyof typeof settings, ...(keyof typeof settings)[]], 2);
  return names.map((name) => ({ name, value: choice.of(settings[name] as readonly [string | null, ...string[]]) }));
}

export function growsTopics(world: World): void {
  const { choice } = world;
  const topics = Array.from({ length: 1 + choice.below(2) }, () => ({
    name: world.anyTopic(),
    count: choice.of([1, 2, 3, 4, 0, -1, -2_147_483_648]),
    assignments: choice.chance(0.8)
      ? null
      : Array.from({ length: choice.below(3) }, () => ({ brokerIds: choice.of([[1], [1], [], [2], [1, 1]]) })),
  }));
  world.add(createPartitions, { topics, timeoutMs, validateOnly: choice.chance(0.2) });
}

export function deletesTopics(world: World): void {
  const { choice } = world;
  const version = world.version(deleteTopics);
  const names = Array.from({ length: 1 + choice.below(2) }, () => world.anyTopic());
  if (version < 6) {
    world.add(deleteTopics, { topicNames: names, timeoutMs }, "main", version);
    return;
  }
  const wanted = names.map((name) => ({ name, kind: choice.of(["name", "name", "id", "both", "strange", "neither"]) }));
  const topic = (seen: Seen, { name, kind }: (typeof wanted)[number]) => {
    if (kind === "name") return { name, topicId: zeroUuid };
    if (kind === "both") return { name, topicId: seen.topicId(name) };
    return { name: null, topicId: kind === "id" ? seen.topicId(name) : kind === "strange" ? strangeId : zeroUuid };
  };
  world.add(deleteTopics, (seen) => ({ topics: wanted.map((one) => topic(seen, one)), timeoutMs }), "main", version);
}

export function looksAtTopics(world: World): void {
  const { choice } = world;
  const names = Array.from({ length: 1 + choice.below(3) }, () => world.anyTopic());
  // What would make topics is another test's.
  const version = 4 + choice.below(10);
  if (choice.chance(0.3)) {
    world.add(describeTopicPartitions, {
      topics: names.map((name) => ({ name })),
      responsePartitionLimit: choice.of([1, 2, 2_000, 0, -1]),
      cursor: choice.chance(0.7) ? null : { topicName: world.anyTopic(), partitionIndex: choice.of([0, 1, -1, 99]) },
    });
    return;
  }
  const byId = version >= 12 && choice.chance(0.4);
  world.add(
    metadata,
    (seen) => ({
      topics: names.map((name) => (byId ? { name: null, topicId: seen.topicId(name) } : { name, topicId: zeroUuid })),
      allowAutoTopicCreation: false,
    }),
    "main",
    version,
  );
}

const topicKind = 2;

export function altersConfigs(world: World): void {
  const { choice } = world;
  const configsOf = () => {
    const some = configs(world);
    return some.length > 0 ? some : configs(world);
  };
  const resource = (name: string) => ({ resourceType: choice.usually(topicKind, [0, 99], 0.95), resourceName: name });
  // Each once: Kafka never answers a request that names one twice.
  const names = [...new Set(choice.some([world.anyTopic(), world.anyTopic()], 2))];
  const validateOnly = choice.chance(0.2);
  if (choice.chance(0.3)) {
    world.add(alterConfigs, {
      resources: names.map((name) => ({ ...resource(name), configs: configsOf() })),
      validateOnly,
    });
    return;
  }
  world.add(incrementalAlterConfigs, {
    resources: names.map((name) => ({
      ...resource(name),
      configs: configsOf().map((config) => ({ ...config, configOperation: choice.usually(0, [1, 2, 3], 0.6) })),
    })),
    validateOnly,
  });
}

/** Such as have the same default everywhere. */
const shownConfigs = [
  "cleanup.policy",
  "max.message.bytes",
  "compression.type",
  "message.timestamp.type",
  "no.such.config",
];

export function describesConfigs(world: World): void {
  const { choice } = world;
  world.add(describeConfigs, {
    resources: choice.some([world.anyTopic(), world.topic()], 2).map((resourceName) => ({
      ...{ resourceType: choice.usually(topicKind, [0, 99], 0.95), resourceName, configurationKeys: shownConfigs },
    })),
    includeSynonyms: choice.chance(0.3),
  });
}

export function electsLeaders(world: World): void {
  const { choice } = world;
  world.add(electLeaders, {
    ...{ electionType: choice.usually(0, [1], 0.8), timeoutMs },
    topicPartitions: [{ topic: world.anyTopic(), partitions: [world.partition(), world.partition()] }],
  });
}

/** What most transcripts need. */
export function startsWith(world: World): void {
  const topic = { replicationFactor: 1, assignments: [], configs: [] };
  const names = ["a", "b"].map((name) => world.prefix + name);
  const topics = names.map((name, index) => ({ ...topic, name, numPartitions: 2 + index }));
  world.add(createTopics, { topics, timeoutMs }, "main", 7);
}
