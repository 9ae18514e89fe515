/** Consumer groups: members, rebalances, committed offsets. */
import type { Json } from "../client.ts";
import { cannot, errorOf, type Step, type Tour } from "../step.ts";

const topic = "work";

async function fill(tour: Tour, name: string, partitions: number, each: number): Promise<void> {
  await tour.makeTopic(name, { partitions });
  const records = Array.from({ length: partitions * each }, (_, i) => ({
    partition: i % partitions,
    key: `${i}`,
    value: `${name} ${i}`,
  }));
  await tour.ask("produce", { topic: name, records });
}

const inState = (state: string) => (answer: Json) => Object(answer).state === state;
const isEmpty = (answer: Json) => inState("Empty")(answer) || inState("Dead")(answer) || errorOf(answer) !== undefined;

/** A group of the newer protocol is dead for those who ask in the older way. */
const isShared = (answer: Json) => inState("Stable")(answer) || inState("Dead")(answer);

/** Two members come one after the other, each takes its part; one goes, the other takes all. */
function twoMembers(name: string, group: string, how: { readonly [name: string]: string }): Step {
  return {
    name,
    run: async (tour) => {
      await fill(tour, group, 4, 3);
      const open = (member: string) => ["consumerOpen", { name: member, group, topics: [group], ...how }] as const;
      const alone = await tour.chain(open("first"), ["consumerAssigned", { name: "first", count: 4 }]);
      if (alone.includes(cannot)) return cannot;
      const shared = await tour.all(
        open("second"),
        ["consumerAssigned", { name: "second", count: 2 }],
        ["consumerAssigned", { name: "first", count: 2 }],
      );
      // Which of them has which part follows from their ids, which are random.
      const together = shared.slice(1).flat().sort();
      const described = await tour.until("describeGroup", { group }, isShared);
      await tour.ask("consumerClose", { name: "first" });
      const left = await tour.ask("consumerAssigned", { name: "second", count: 4 });
      await tour.ask("consumerClose", { name: "second" });
      const { members, ...rest } = Object(described) as { members?: Json[] };
      const after = await tour.until("describeGroup", { group }, isEmpty);
      return [alone, together as Json, rest as Json, members?.length ?? null, left, after];
    },
  };
}

export const groupSteps: readonly Step[] = [
  {
    name: "a group reads from the beginning, commits, and another member goes on from there",
    run: async (tour) => {
      await fill(tour, topic, 1, 10);
      const group = "readers";
      return tour.all(
        ["consumerOpen", { name: "a", group, topics: [topic] }],
        ["consumerTake", { name: "a", count: 4 }],
        ["consumerCommit", { name: "a" }],
        ["consumerCommitted", { name: "a", topic, partition: 0 }],
        ["consumerClose", { name: "a" }],
        ["consumerOpen", { name: "b", group, topics: [topic] }],
        ["consumerTake", { name: "b", count: 6 }],
        ["consumerClose", { name: "b" }],
        ["groupOffsets", { group }],
      );
    },
  },
  {
    name: "a group takes some records, and later the others",
    run: async (tour) => {
      await fill(tour, "slices", 1, 10);
      return tour.all(
        ["groupTake", { group: "slicers", topic: "slices", count: 4 }],
        ["groupTake", { group: "slicers", topic: "slices", count: 6 }],
      );
    },
  },
  {
    name: "what a member writes with its offset comes back",
    run: async (tour) =>
      tour.all(
        ["consumerOpen", { name: "noted", group: "noting", topics: [topic] }],
        ["consumerTake", { name: "noted", count: 3 }],
        ["consumerCommit", { name: "noted", metadata: "so far, well" }],
        ["consumerCommitted", { name: "noted", topic, partition: 0 }],
        ["consumerClose", { name: "noted" }],
        ["groupOffsets", { group: "noting" }],
      ),
  },
  {
    name: "a group that begins at the end gets only what comes after",
    run: async (tour) => {
      await fill(tour, "tail", 1, 3);
      const opened = await tour.all(
        ["consumerOpen", { name: "late", group: "late", topics: ["tail"], reset: "latest" }],
        ["consumerAssigned", { name: "late", count: 1 }],
        // Where it begins is decided after it was given the partition.
        ["consumerAtEnd", { name: "late", topic: "tail", partition: 0 }],
      );
      await tour.ask("produce", { topic: "tail", records: [{ partition: 0, value: "new" }] });
      return [
        opened,
        await tour.all(["consumerTake", { name: "late", count: 1 }], ["consumerClose", { name: "late" }]),
      ];
    },
  },
  {
    name: "a member moves to another place",
    run: async (tour) => {
      const moved = await tour.chain(
        ["consumerOpen", { name: "mover", group: "movers", topics: [topic] }],
        ["consumerTake", { name: "mover", count: 10 }],
        ["consumerSeek", { name: "mover", topic, partition: 0, offset: 7 }],
        ["consumerTake", { name: "mover", count: 3 }],
      );
      await tour.ask("consumerClose", { name: "mover" });
      return moved.includes(cannot) ? cannot : moved;
    },
  },
  {
    name: "a group is described while a member is there, and when it is empty",
    run: async (tour) => {
      const group = "described";
      await tour.all(
        ["consumerOpen", { name: "seen", group, topics: [topic] }],
        ["consumerTake", { name: "seen", count: 1 }],
        ["consumerCommit", { name: "seen" }],
      );
      const stable = await tour.until("describeGroup", { group }, inState("Stable"));
      await tour.ask("consumerClose", { name: "seen" });
      return [stable, await tour.until("describeGroup", { group }, isEmpty)];
    },
  },
  {
    name: "a group that is not there is described as dead or missing, and has no offsets",
    run: (tour) => tour.all(["describeGroup", { group: "nobody" }], ["groupOffsets", { group: "nobody" }]),
  },
  {
    name: "groups are listed",
    run: (tour) => tour.ask("listGroups"),
  },
  twoMembers("two members share a topic by range", "by-range", { assignor: "range" }),
  twoMembers("two members share a topic in turns", "by-turns", { assignor: "roundrobin" }),
  twoMembers("two members share a topic and hand over only what moves", "by-cooperation", { assignor: "cooperative" }),
  twoMembers("two members share a topic as the broker says", "by-broker", { protocol: "consumer" }),
  {
    name: "the broker finds topics by a pattern",
    run: async (tour) => {
      await fill(tour, "like-1", 1, 2);
      await fill(tour, "like-2", 1, 2);
      return tour.chain(
        ["consumerOpen", { name: "like", group: "alike", pattern: "^like-.*", protocol: "consumer" }],
        ["consumerTake", { name: "like", count: 4 }],
        ["consumerClose", { name: "like" }],
      );
    },
  },
  {
    name: "a client finds topics by a pattern",
    run: async (tour) => {
      await fill(tour, "same-1", 1, 2);
      await fill(tour, "same-2", 1, 2);
      return tour.all(
        ["consumerOpen", { name: "same", group: "sames", pattern: "^same-.*" }],
        ["consumerTake", { name: "same", count: 4 }],
        ["consumerClose", { name: "same" }],
      );
    },
  },
  {
    name: "a static member comes back to what it had, and a second one of its name fences it",
    run: async (tour) => {
      const group = "static";
      await fill(tour, group, 2, 2);
      const member = { group, topics: [group], instanceId: "desk-1" };
      const first = await tour.chain(
        ["consumerOpen", { name: "s1", ...member }],
        ["consumerAssigned", { name: "s1", count: 2 }],
        ["consumerClose", { name: "s1" }],
      );
      if (first.includes(cannot)) return cannot;
      const stays = await tour.ask("describeGroup", { group });
      const second = await tour.all(
        ["consumerOpen", { name: "s2", ...member }],
        ["consumerAssigned", { name: "s2", count: 2 }],
        ["consumerOpen", { name: "s3", ...member }],
        ["consumerFailure", { name: "s2" }],
        ["consumerAssigned", { name: "s3", count: 2 }],
      );
      await tour.all(["consumerClose", { name: "s2" }], ["consumerClose", { name: "s3" }]);
      const removed = await tour.ask("removeMember", { group, instanceId: "desk-1" });
      const after = removed === cannot ? removed : await tour.until("describeGroup", { group }, isEmpty);
      return [first, stays, second, removed, after];
    },
  },
  {
    name: "offsets are committed for a group without members",
    run: (tour) =>
      tour.all(
        ["commitAlone", { group: "alone", topic, partition: 0, offset: 5, metadata: "by hand" }],
        ["groupOffsets", { group: "alone" }],
        ["describeGroup", { group: "alone" }],
      ),
  },
  {
    name: "offsets are not committed by a stranger while a group has members",
    run: async (tour) => {
      const group = "guarded";
      await tour.all(
        ["consumerOpen", { name: "guard", group, topics: [topic] }],
        ["consumerTake", { name: "guard", count: 1 }],
        ["consumerCommit", { name: "guard" }],
      );
      return tour.all(
        ["commitAlone", { group, topic, partition: 0, offset: 5 }],
        ["resetOffsets", { group, offsets: [[topic, 0, 2]] }],
        ["deleteOffsets", { group, partitions: [[topic, 0]] }],
        ["deleteGroup", { group }],
        ["consumerClose", { name: "guard" }],
        ["groupOffsets", { group }],
      );
    },
  },
  {
    name: "an empty group's offsets are set, and its next member begins there",
    run: async (tour) => {
      const group = "guarded";
      await tour.until("describeGroup", { group }, isEmpty);
      return tour.all(
        ["resetOffsets", { group, offsets: [[topic, 0, 8]] }],
        ["groupOffsets", { group }],
        ["consumerOpen", { name: "reset", group, topics: [topic] }],
        ["consumerTake", { name: "reset", count: 2 }],
        ["consumerClose", { name: "reset" }],
      );
    },
  },
  {
    name: "an empty group's offsets are deleted",
    run: async (tour) => {
      const group = "guarded";
      await tour.until("describeGroup", { group }, isEmpty);
      return tour.all(
        ["deleteOffsets", { group, partitions: [[topic, 0]] }],
        ["groupOffsets", { group }],
        ["deleteOffsets", { group: "nobody", partitions: [[topic, 0]] }],
      );
    },
  },
  {
    name: "a committed offset past the end leads to where the group begins",
    run: async (tour) => {
      const group = "beyond";
      return tour.all(
        ["commitAlone", { group, topic, partition: 0, offset: 5000 }],
        ["consumerOpen", { name: "beyond", group, topics: [topic] }],
        ["consumerTake", { name: "beyond", count: 10 }],
        ["consumerClose", { name: "beyond" }],
        ["commitAlone", { group, topic: "nothing-here", partition: 0, offset: 1, impatient: true }],
        ["commitAlone", { group, topic, partition: 9, offset: 1, impatient: true }],
      );
    },
  },
  {
    name: "empty groups are deleted, others are not",
    run: async (tour) => {
      await tour.until("describeGroup", { group: "readers" }, isEmpty);
      return tour.all(
        ["deleteGroup", { group: "readers" }],
        ["groupOffsets", { group: "readers" }],
        ["deleteGroup", { group: "nobody" }],
      );
    },
  },
];
