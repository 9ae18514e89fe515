/** Topics and their settings. */
import type { Json } from "../client.ts";
import { cannot, partitionsOf, type Step } from "../step.ts";

const configs = { "retention.ms": "86400000", "max.message.bytes": "20000", "cleanup.policy": "compact,delete" };
const names = ["retention.ms", "max.message.bytes", "cleanup.policy", "segment.bytes"];
const includes = (topic: string) => (answer: Json) => Array.isArray(answer) && answer.includes(topic);

export const topicSteps: readonly Step[] = [
  {
    name: "a topic is made with settings",
    run: (tour) => tour.makeTopic("orders", { partitions: 3, configs }),
  },
  {
    name: "topics are listed",
    run: async (tour) => {
      await tour.makeTopic("payments");
      return tour.until("listTopics", {}, includes("payments"));
    },
  },
  {
    name: "a topic is described",
    run: (tour) => tour.ask("describeTopic", { topic: "orders" }),
  },
  {
    name: "every setting of a topic is told with where it comes from",
    run: (tour) => tour.ask("describeConfigs", { topic: "orders" }),
  },
  {
    name: "some settings of a topic are told",
    run: (tour) => tour.ask("describeConfigs", { topic: "orders", names }),
  },
  {
    name: "the settings of a topic that is not there are refused",
    run: (tour) => tour.ask("describeConfigs", { topic: "nothing-here" }),
  },
  {
    name: "a topic is not made twice",
    run: (tour) => tour.ask("createTopic", { topic: "orders", partitions: 1, replicationFactor: 1 }),
  },
  {
    name: "a topic can be tried without being made",
    run: async (tour) => [
      await tour.ask("createTopic", { topic: "tried", partitions: 2, replicationFactor: 1, validateOnly: true }),
      await tour.ask("createTopic", { topic: "orders", partitions: 2, replicationFactor: 1, validateOnly: true }),
      await tour.ask("describeTopic", { topic: "tried" }),
    ],
  },
  {
    name: "a topic takes the broker's defaults for what is left out",
    run: async (tour) => {
      const made = await tour.ask("createTopic", { topic: "defaults" });
      if (made === cannot) return cannot;
      return [made, await tour.until("describeTopic", { topic: "defaults" }, (answer) => partitionsOf(answer) > 0)];
    },
  },
  ...(
    [
      ["an invalid character", { topic: "a/b" }],
      ["only dots", { topic: ".." }],
      ["too long a name", { topic: "x".repeat(250) }],
      ["no partitions", { topic: "none", partitions: 0 }],
      ["less than no partitions", { topic: "less", partitions: -2 }],
      ["more replicas than there are nodes", { topic: "copies", replicationFactor: 9 }],
      ["no replicas", { topic: "no-copies", replicationFactor: 0 }],
      ["a setting that does not exist", { topic: "odd", configs: { "no.such.setting": "1" } }],
      ["a setting of the wrong form", { topic: "odd", configs: { "retention.ms": "soon" } }],
      ["a setting out of range", { topic: "odd", configs: { "min.insync.replicas": "0" } }],
      ["a setting with a word that is none of its words", { topic: "odd", configs: { "cleanup.policy": "shred" } }],
    ] as const
  ).map(
    ([what, args]): Step => ({
      name: `a topic with ${what} is refused`,
      run: (tour) => tour.ask("createTopic", { partitions: 1, replicationFactor: 1, ...args }),
    }),
  ),
  {
    name: "a name that differs from another only by a dot or an underscore is refused",
    run: async (tour) => {
      await tour.makeTopic("dot.ted");
      return tour.ask("createTopic", { topic: "dot_ted", partitions: 1, replicationFactor: 1 });
    },
  },
  {
    name: "partitions are added",
    run: async (tour) => {
      const added = await tour.ask("addPartitions", { topic: "orders", count: 5 });
      if (added === cannot) return cannot;
      return [added, await tour.until("describeTopic", { topic: "orders" }, (answer) => partitionsOf(answer) === 5)];
    },
  },
  {
    name: "partitions are not taken away, nor added to what is not there",
    run: (tour) =>
      tour.all(
        ["addPartitions", { topic: "orders", count: 4 }],
        ["addPartitions", { topic: "orders", count: 5 }],
        ["addPartitions", { topic: "nothing-here", count: 5 }],
      ),
  },
  {
    name: "settings are changed one by one",
    run: async (tour) => {
      const topic = "orders";
      const changed = await tour.all(
        ["alterConfigs", { topic, set: { "max.message.bytes": "30000" } }],
        ["alterConfigs", { topic, delete: { "retention.ms": "" } }],
        ["alterConfigs", { topic, subtract: { "cleanup.policy": "delete" } }],
        ["alterConfigs", { topic, append: { "cleanup.policy": "delete" } }],
      );
      const settled = (answer: Json) =>
        String(Object(answer)["max.message.bytes"]).startsWith("30000") &&
        (changed[3] === cannot || /^(delete,compact|compact,delete)/.test(String(Object(answer)["cleanup.policy"])));
      return [changed, await tour.until("describeConfigs", { topic, names }, settled)];
    },
  },
  {
    name: "a change to a wrong setting is refused",
    run: (tour) =>
      tour.all(
        ["alterConfigs", { topic: "orders", set: { "max.message.bytes": "many" } }],
        ["alterConfigs", { topic: "orders", set: { "no.such.setting": "1" } }],
        ["alterConfigs", { topic: "orders", append: { "max.message.bytes": "1" } }],
        ["alterConfigs", { topic: "nothing-here", set: { "max.message.bytes": "1000" } }],
      ),
  },
  {
    name: "a topic is deleted, and may be made anew",
    run: async (tour) => {
      const topic = "payments";
      await tour.ask("produce", { topic, records: [{ partition: 0, value: "gone soon" }] });
      const deleted = await tour.ask("deleteTopic", { topic });
      if (deleted === cannot) return cannot;
      const listed = await tour.until("listTopics", {}, (answer) => !includes(topic)(answer));
      const made = await tour.makeTopic(topic);
      const offset = await tour.ask("listOffset", { topic, partition: 0, at: "latest" });
      return [deleted, includes(topic)(listed), made, offset];
    },
  },
  {
    name: "what is not there is neither deleted nor described",
    run: (tour) => tour.all(["deleteTopic", { topic: "nothing-here" }], ["describeTopic", { topic: "nothing-here" }]),
  },
];
