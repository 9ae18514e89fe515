/** Offsets by time and place, and records that are deleted. */
import type { Json } from "../client.ts";
import type { Step } from "../step.ts";

const topic = "timeline";
const partition = 0;
const base = 1_000_000_000_000;
const at = (spot: Json, more: { readonly [name: string]: Json } = {}) =>
  ["listOffset", { topic, partition, at: spot, ...more }] as const;

export const offsetSteps: readonly Step[] = [
  {
    name: "the ends of a partition, and its latest time, are told",
    run: async (tour) => {
      await tour.makeTopic(topic, { configs: { "retention.ms": "-1" } });
      for (let batch = 0; batch < 4; batch++) {
        const records = Array.from({ length: 5 }, (_, i) => ({
          partition,
          value: `${batch} ${i}`,
          timestamp: base + (batch === 2 ? 100_000 - i : batch * 10_000 + i * 1000),
        }));
        await tour.ask("produce", { topic, records });
      }
      return tour.all(at("earliest"), at("latest"), at("max-timestamp"));
    },
  },
  {
    name: "the tiered and the local ends are told",
    run: (tour) => tour.all(at("earliest-local"), at("latest-tiered")),
  },
  {
    name: "the first record at or after a time is found",
    run: (tour) =>
      tour.all(at(base - 1), at(base), at(base + 1500), at(base + 12_000), at(base + 99_999), at(base + 100_001)),
  },
  {
    name: "a consumer finds a place by its time",
    run: (tour) =>
      tour.all(
        ["offsetForTime", { topic, partition, timestamp: base + 2500 }],
        ["offsetForTime", { topic, partition, timestamp: base + 100_001 }],
      ),
  },
  {
    name: "the ends of an empty partition are told",
    run: async (tour) => {
      await tour.makeTopic("blank");
      return tour.all(
        ...["earliest", "latest", "max-timestamp", base].map(
          (spot) => ["listOffset", { topic: "blank", partition, at: spot }] as const,
        ),
      );
    },
  },
  {
    name: "offsets of what is not there are refused",
    run: (tour) =>
      tour.all(
        ["listOffset", { topic, partition: 7, at: "latest", impatient: true }],
        ["listOffset", { topic: "nothing-here", partition: 0, at: "latest", impatient: true }],
      ),
  },
  {
    name: "records are deleted up to an offset",
    run: (tour) =>
      tour.all(["deleteRecords", { topic, partition, before: 7 }], at("earliest"), at("latest"), at(base), [
        "read",
        { topic, count: 13 },
      ]),
  },
  {
    name: "records are not deleted past the end, nor twice, nor where nothing is",
    run: (tour) =>
      tour.all(
        ["deleteRecords", { topic, partition, before: 21 }],
        ["deleteRecords", { topic, partition, before: 3 }],
        ["deleteRecords", { topic, partition: 7, before: 3, impatient: true }],
        ["deleteRecords", { topic: "nothing-here", partition, before: 3, impatient: true }],
      ),
  },
  {
    name: "reading from what was deleted fails, or goes on where it may",
    run: (tour) =>
      tour.all(
        ["read", { topic, partition, from: 2, reset: "none", count: 1 }],
        ["read", { topic, partition, from: 2, reset: "earliest", count: 13 }],
        ["read", { topic, partition, from: 99, reset: "none", count: 0 }],
      ),
  },
  {
    name: "all records are deleted, and offsets go on",
    run: (tour) =>
      tour.all(
        ["deleteRecords", { topic, partition, before: -1 }],
        at("earliest"),
        at("latest"),
        ["produce", { topic, records: [{ partition, value: "after all", timestamp: base }] }],
        ["read", { topic, count: 1 }],
      ),
  },
];
