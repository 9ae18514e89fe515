/** Transactions: what readers of either kind see, offsets within them, and who is fenced. */
import type { Json } from "../client.ts";
import { cannot, type Step, type Tour } from "../step.ts";

const topic = "ledger";
const partition = 0;
const record = (value: string, place = partition) => [{ partition: place, value }];
const open = (name: string, transactionalId = name) => ["transactionOpen", { name, transactionalId }] as const;
const begin = (name: string) => ["transactionBegin", { name }] as const;
const send = (name: string, value: string, place = partition) =>
  ["transactionSend", { name, topic, records: record(value, place) }] as const;
const commit = (name: string) => ["transactionCommit", { name }] as const;
const abort = (name: string) => ["transactionAbort", { name }] as const;
const close = (name: string) => ["transactionClose", { name }] as const;
const end = (committed: boolean) => ["listOffset", { topic, partition, at: "latest", committed }] as const;

/**
 * A transaction is decided before its markers are written: resolves when readers may go on to `offset`, which is behind
 * the last marker. Until then they stand before the transaction's first record, so that one less is enough.
 */
const decided = (tour: Tour, offset: number, place = partition, name = topic) =>
  endsBehind(tour, offset, { topic: name, partition: place, committed: true });
const endsBehind = (
  tour: Tour,
  offset: number,
  place: { readonly topic: string; readonly partition: number; readonly committed: boolean },
) => {
  const there = (answer: Json) => ((answer as { offset?: number }).offset ?? 0) >= offset - 1;
  return tour.until("listOffset", { ...place, at: "latest" }, there);
};
const groupAt = (tour: Tour, group: string, place: string, offset: number) =>
  tour.until("groupOffsets", { group }, (answer) => Object(answer)[place] === offset);

export const transactionSteps: readonly Step[] = [
  {
    name: "what is aborted is read only by those who read everything",
    run: async (tour) => {
      await tour.makeTopic(topic, { partitions: 2 });
      const done = await tour.all(
        open("t1"),
        begin("t1"),
        send("t1", "aborted"),
        abort("t1"),
        begin("t1"),
        send("t1", "committed"),
        send("t1", "committed", 1),
        commit("t1"),
        begin("t1"),
        send("t1", "aborted too", 1),
        abort("t1"),
        begin("t1"),
        commit("t1"),
        close("t1"),
        ["produce", { topic, records: record("plain") }],
        ["produce", { topic, records: record("plain", 1) }],
      );
      const ends = [await decided(tour, 5), await decided(tour, 5, 1)];
      const read = await tour.all(
        ["read", { topic, committed: true, count: 4 }],
        ["read", { topic, committed: false, count: 6 }],
        end(false),
      );
      return [done, ends, read];
    },
  },
  {
    name: "an open transaction holds back the committed end, and is told of",
    run: (tour) =>
      tour.all(
        open("t2"),
        begin("t2"),
        send("t2", "pending"),
        ["produce", { topic, records: record("behind it") }],
        end(true),
        end(false),
        ["read", { topic, partition, committed: true, count: 2 }],
      ),
  },
  {
    name: "an open transaction, its producers, and who may have one, are described",
    run: (tour) =>
      tour.all(
        ["describeTransaction", { transactionalId: "t2" }],
        ["describeTransaction", { transactionalId: "t1" }],
        ["describeTransaction", { transactionalId: "nobody" }],
        ["listTransactions"],
        ["describeProducers", { topic, partition: 1 }],
        ["describeProducers", { topic: "nothing-here", partition: 1, impatient: true }],
      ),
  },
  {
    name: "a committed transaction lets readers on",
    run: async (tour) => {
      const done = await tour.all(commit("t2"), close("t2"));
      const stable = await decided(tour, 8);
      // A client that cannot ask for the committed end may be told that one here.
      const whole = await endsBehind(tour, 8, { topic, partition, committed: false });
      const read = await tour.ask("read", { topic, partition, committed: true, count: 4 });
      return [done, stable, [whole, read]];
    },
  },
  {
    name: "the second producer of a transactional id fences the first, whose transaction is aborted",
    run: async (tour) => {
      const done = await tour.all(
        open("z1", "shared"),
        begin("z1"),
        send("z1", "of the zombie"),
        open("z2", "shared"),
        begin("z2"),
        send("z1", "late"),
        commit("z1"),
        send("z2", "of the successor"),
        commit("z2"),
        close("z2"),
        close("z1"),
      );
      const stable = await decided(tour, 12);
      return [done, stable, await tour.ask("read", { topic, partition, committed: true, count: 5 })];
    },
  },
  {
    name: "what is read, made and committed in one transaction is there once and moves the group on",
    run: async (tour) => {
      await tour.makeTopic("input");
      await tour.makeTopic("output");
      const records = [0, 1, 2, 3].map((i) => ({ partition: 0, value: `in ${i}` }));
      await tour.ask("produce", { topic: "input", records });
      const offsets = (offset: number) =>
        [
          "transactionOffsets",
          { name: "etl", consumer: "etl", group: "etl", offsets: [["input", 0, offset]] },
        ] as const;
      const output = (value: string) =>
        ["transactionSend", { name: "etl", topic: "output", records: [{ partition: 0, value }] }] as const;
      const committed = await tour.all(
        open("etl"),
        ["consumerOpen", { name: "etl", group: "etl", topics: ["input"], committed: true }],
        ["consumerTake", { name: "etl", count: 2 }],
        begin("etl"),
        output("out of 0 and 1"),
        offsets(2),
        commit("etl"),
      );
      const moved = await groupAt(tour, "etl", "input-0", 2);
      const aborted = await tour.all(
        ["consumerTake", { name: "etl", count: 2 }],
        begin("etl"),
        output("never"),
        offsets(4),
        abort("etl"),
        ["consumerClose", { name: "etl" }],
        close("etl"),
      );
      const stable = await decided(tour, 4, 0, "output");
      const again = await tour.all(
        ["groupOffsets", { group: "etl" }],
        ["consumerOpen", { name: "etl2", group: "etl", topics: ["input"], committed: true }],
        ["consumerTake", { name: "etl2", count: 2 }],
        ["consumerClose", { name: "etl2" }],
        ["read", { topic: "output", committed: true, count: 1 }],
      );
      return [committed, moved, aborted, stable, again];
    },
  },
  {
    name: "offsets are committed in a transaction for a group without members",
    run: async (tour) => {
      const done = await tour.chain(
        open("stranger"),
        begin("stranger"),
        ["transactionOffsets", { name: "stranger", group: "free", offsets: [[topic, 0, 1]] }],
        commit("stranger"),
        close("stranger"),
      );
      if (done.includes(cannot)) return cannot;
      return [done, await groupAt(tour, "free", `${topic}-0`, 1)];
    },
  },
  {
    name: "an operator fences a producer, whose transaction is aborted",
    run: async (tour) => {
      if ((await tour.ask("fenceProducers", { transactionalId: "hung" })) === cannot) return cannot;
      const fenced = await tour.all(
        open("hung"),
        begin("hung"),
        send("hung", "hanging"),
        ["fenceProducers", { transactionalId: "hung" }],
        send("hung", "late"),
        commit("hung"),
        close("hung"),
      );
      return [fenced, await decided(tour, 14), await tour.ask(...end(false))];
    },
  },
  {
    name: "an operator ends a transaction that hangs",
    run: async (tour) => {
      await tour.makeTopic("hanging");
      const isThere = await tour.ask("describeProducers", { topic: "hanging", partition: 0 });
      if (isThere === cannot) return cannot;
      const aborted = await tour.all(
        open("stuck"),
        begin("stuck"),
        ["transactionSend", { name: "stuck", topic: "hanging", records: [{ partition: 0, value: "stuck" }] }],
        ["abortHanging", { topic: "hanging", partition: 0 }],
      );
      const stable = await decided(tour, 2, 0, "hanging");
      return [isThere, aborted, stable, await tour.ask("read", { topic: "hanging", committed: true, count: 0 })];
    },
  },
  {
    name: "a transaction may not be allowed longer than the broker permits",
    run: (tour) =>
      tour.all(["transactionOpen", { name: "slow", transactionalId: "slow", timeoutMs: 3_600_000 }], begin("slow")),
  },
];
