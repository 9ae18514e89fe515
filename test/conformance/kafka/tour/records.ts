/** Producing and reading. */
import type { Json } from "../client.ts";
import type { Step } from "../step.ts";

const keyed = Array.from({ length: 24 }, (_, i) => ({ key: `key-${i % 12}`, value: `value ${i}` }));
/** Kept whatever their age. */
const forever = { configs: { "retention.ms": "-1" } };
const one = (more: { readonly [name: string]: Json } = {}) => [{ partition: 0, value: "one", ...more }];

export const recordSteps: readonly Step[] = [
  {
    name: "the client's own partitioner spreads keys over partitions",
    run: async (tour) => {
      await tour.makeTopic("spread", { partitions: 4 });
      return tour.ask("produce", { topic: "spread", records: keyed });
    },
  },
  {
    name: "all records are read from the beginning, in order",
    run: (tour) => tour.ask("read", { topic: "spread", count: 24 }),
  },
  {
    name: "keys, values and headers come back as they were, and nothing is null that was empty",
    run: async (tour) => {
      await tour.makeTopic("forms");
      const records = [
        { partition: 0, key: "k", value: null },
        { partition: 0, key: null, value: "no key" },
        { partition: 0, key: "", value: "" },
        { partition: 0, key: "ключ", value: "値 🌊" },
        {
          partition: 0,
          key: "h",
          value: "with headers",
          headers: [
            ["a", "1"],
            ["empty", ""],
            ["b", "zwei"],
          ],
        },
      ];
      return tour.all(["produce", { topic: "forms", records }], ["read", { topic: "forms", count: 5 }]);
    },
  },
  {
    name: "a header may be there twice and may be null",
    run: async (tour) => {
      await tour.makeTopic("headers");
      const headers = [
        ["a", "1"],
        ["a", "2"],
        ["n", null],
      ];
      return tour.chain(
        ["produce", { topic: "headers", records: one({ headers }) }],
        ["read", { topic: "headers", count: 1 }],
      );
    },
  },
  ...["gzip", "snappy", "lz4", "zstd"].map(
    (compression): Step => ({
      name: `records compressed with ${compression} are read`,
      run: async (tour) => {
        const topic = `packed-${compression}`;
        await tour.makeTopic(topic);
        const records = Array.from({ length: 50 }, (_, i) => ({
          partition: 0,
          key: `${i}`,
          value: "again ".repeat(9),
        }));
        return tour.chain(["produce", { topic, compression, records }], ["read", { topic, count: 50 }]);
      },
    }),
  ),
  {
    name: "a topic's own compression does not show",
    run: async (tour) => {
      const topic = "repacked";
      await tour.makeTopic(topic, { configs: { "compression.type": "zstd" } });
      const records = Array.from({ length: 20 }, (_, i) => ({ partition: 0, key: `${i}`, value: "again ".repeat(9) }));
      return tour.all(
        ["produce", { topic, records }],
        ["produce", { topic, compression: "gzip", records }],
        ["read", { topic, count: 40 }],
      );
    },
  },
  {
    name: "a record keeps the time that its producer gave it",
    run: async (tour) => {
      await tour.makeTopic("timed", forever);
      const records = [0, 5, 2].map((seconds) => ({
        partition: 0,
        value: `at ${seconds}`,
        timestamp: 1_000_000_000_000 + seconds * 1000,
      }));
      return tour.all(["produce", { topic: "timed", records }], ["read", { topic: "timed", count: 3 }]);
    },
  },
  {
    name: "a topic may stamp records with the broker's time",
    run: async (tour) => {
      const topic = "stamped";
      await tour.makeTopic(topic, { configs: { "message.timestamp.type": "LogAppendTime" } });
      return tour.all(
        ["produce", { topic, records: one({ timestamp: 1_000_000_000_000 }) }],
        ["read", { topic, count: 1 }],
      );
    },
  },
  ...["0", "1", "all"].map(
    (acks): Step => ({
      name: `records are written with acks=${acks}`,
      run: async (tour) => {
        const topic = `acks-${acks}`;
        await tour.makeTopic(topic);
        const sent = await tour.ask("produce", { topic, acks, records: one({ key: "k" }) });
        const isThere = (answer: Json) => (answer as { offset?: number }).offset === 1;
        await tour.until("listOffset", { topic, partition: 0, at: "latest" }, isThere);
        return [sent, await tour.ask("read", { topic, count: 1 })];
      },
    }),
  ),
  {
    name: "offsets go on over many small sends",
    run: async (tour) => {
      await tour.makeTopic("many");
      const sent: Json[] = [];
      for (let i = 0; i < 5; i++) {
        const records = Array.from({ length: i + 1 }, (_, j) => ({ partition: 0, value: `${i} ${j}` }));
        sent.push(await tour.ask("produce", { topic: "many", records }));
      }
      return [sent, await tour.ask("read", { topic: "many", count: 15 })];
    },
  },
  {
    name: "reading begins in the middle of a batch",
    run: async (tour) => {
      await tour.makeTopic("middle");
      const records = Array.from({ length: 10 }, (_, i) => ({ partition: 0, value: `${i}` }));
      await tour.ask("produce", { topic: "middle", records });
      return tour.ask("read", { topic: "middle", partition: 0, from: 6, count: 4 });
    },
  },
  {
    name: "an idempotent producer's records are written once and in order",
    run: async (tour) => {
      await tour.makeTopic("once");
      const records = Array.from({ length: 30 }, (_, i) => ({ partition: 0, value: `${i}` }));
      return tour.all(
        ["produce", { topic: "once", idempotent: true, records }],
        ["read", { topic: "once", count: 30 }],
      );
    },
  },
  {
    name: "a topic that is not there is made when it is written to",
    run: async (tour) =>
      tour.all(
        ["produce", { topic: "made-by-writing", records: [{ key: "k", value: "first" }] }],
        ["describeTopic", { topic: "made-by-writing" }],
        ["read", { topic: "made-by-writing", count: 1 }],
      ),
  },
  {
    name: "a record that is larger than the topic allows is refused, and the next one is not",
    run: async (tour) => {
      const topic = "small";
      await tour.makeTopic(topic, { configs: { "max.message.bytes": "1000" } });
      return tour.all(
        ["produce", { topic, records: [{ partition: 0, valueBytes: 2000 }] }],
        ["produce", { topic, records: one() }],
        ["read", { topic, count: 1 }],
      );
    },
  },
  {
    name: "a large record is written where the topic allows it",
    run: async (tour) => {
      const topic = "large";
      await tour.makeTopic(topic, { configs: { "max.message.bytes": "4000000" } });
      const settings = { "max.request.size": "3000000", "message.max.bytes": "3000000" };
      return tour.all(
        ["produce", { topic, settings, records: [{ partition: 0, valueBytes: 2_000_000 }] }],
        ["read", { topic, count: 1 }],
      );
    },
  },
  {
    name: "a partition that is not there is not written to",
    run: async (tour) => {
      await tour.makeTopic("narrow");
      const settings = { "max.block.ms": "1500", "message.timeout.ms": "1500" };
      return tour.ask("produce", { topic: "narrow", settings, records: [{ partition: 7, value: "nowhere" }] });
    },
  },
  {
    name: "an invalid topic name is not written to",
    run: (tour) => tour.ask("produce", { topic: "in valid", records: one() }),
  },
  {
    name: "a compacted topic wants keys",
    run: async (tour) => {
      const topic = "compacted";
      await tour.makeTopic(topic, { configs: { "cleanup.policy": "compact" } });
      return tour.all(
        ["produce", { topic, records: one() }],
        ["produce", { topic, records: one({ key: "k" }) }],
        ["read", { topic, count: 1 }],
      );
    },
  },
  {
    name: "a record from far in the future is refused",
    run: async (tour) => {
      await tour.makeTopic("future");
      return tour.ask("produce", { topic: "future", records: one({ timestamp: 4_000_000_000_000 }) });
    },
  },
];
