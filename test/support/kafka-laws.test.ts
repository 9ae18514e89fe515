import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HistoryLines, type ProducerKind } from "./kafka-history.ts";
import { judge } from "./kafka-laws.ts";

type Line = readonly unknown[];

const kinds: ReadonlyMap<string, ProducerKind> = new Map([
  ["plain", "plain"],
  ["once", "idempotent"],
  ["whole", "transactional"],
]);

/** Two records of each producer, of the transactional one also two aborted and two undecided ones; all is as it must be. */
const good: readonly Line[] = [
  ["send", "plain", 1, 0, 0],
  ["ack", "plain", 1, 0, 0],
  ["send", "plain", 2, 0, 0],
  ["ack", "plain", 2, 0, 1],
  ["send", "once", 1, 0, 0],
  ["ack", "once", 1, 0, 2],
  ["send", "once", 2, 0, 0],
  ["ack", "once", 2, 0, 3],
  ["send", "whole", 1, 1, 0],
  ["send", "whole", 2, 1, 1],
  ["ack", "whole", 1, 0, 4],
  ["ack", "whole", 2, 1, 0],
  ["asked", "whole", 1],
  ["committed", "whole", 1],
  ["send", "whole", 3, 2, 0],
  ["ack", "whole", 3, 0, 6],
  ["aborted", "whole", 2],
  ["send", "whole", 4, 3, 1],
  ["asked", "whole", 3],
  [
    "read",
    "c",
    "g",
    0,
    [
      [0, "plain 1 0"],
      [1, "plain 2 0"],
      [2, "once 1 0"],
    ],
  ],
  ["position", "c", "g", 0, 3, 10, 20, "commit"],
  ["position", "observer", "g", 0, 3, 30, 40, "seen"],
  [
    "read",
    "c",
    "g",
    0,
    [
      [3, "once 2 0"],
      [4, "whole 1 1"],
    ],
  ],
  ["read", "c", "g", 1, [[0, "whole 2 1"]]],
  ["position", "c", "g", 0, 5, 50, 60, "commit"],
];

const log: readonly Line[] = [
  [
    "log",
    "uncommitted",
    0,
    [
      [0, "plain 1 0"],
      [1, "plain 2 0"],
      [2, "once 1 0"],
      [3, "once 2 0"],
      [4, "whole 1 1"],
      [6, "whole 3 2"],
    ],
  ],
  ["log", "uncommitted", 1, [[0, "whole 2 1"]]],
  [
    "log",
    "committed",
    0,
    [
      [0, "plain 1 0"],
      [1, "plain 2 0"],
      [2, "once 1 0"],
      [3, "once 2 0"],
      [4, "whole 1 1"],
    ],
  ],
  ["log", "committed", 1, [[0, "whole 2 1"]]],
];

const ends: readonly Line[] = [
  ["end", "uncommitted", 0, 8],
  ["end", "uncommitted", 1, 2],
  ["end", "committed", 0, 8],
  ["end", "committed", 1, 2],
];

function broken(lines: readonly Line[], isCompacted = false): string[] {
  const history = new HistoryLines(kinds, ["g"], isCompacted);
  for (const line of lines) assert.ok(history.add(JSON.stringify(line)));
  return [...new Set(judge(history).map(({ law }) => law))];
}

const all = [...good, ...log, ...ends];

/** The history with one more record at a place, which the group has read too. */
function withRecord(partition: number, offset: number, value: string): Line[] {
  return [
    ...all,
    ["log", "uncommitted", partition, [[offset, value]]],
    ["log", "committed", partition, [[offset, value]]],
    ["read", "c", "g", partition, [[offset, value]]],
  ];
}

function replaced(from: string, to: string): Line[] {
  return JSON.parse(JSON.stringify(all).replaceAll(from, to)) as Line[];
}

describe("the judge of Kafka's histories", () => {
  test("a good history breaks no law", () => {
    assert.deepEqual(broken(all), []);
  });

  test("an acknowledged record that is missing is found", () => {
    const lines = replaced('[1,"plain 2 0"],', "");
    assert.deepEqual(broken(lines), ["no acknowledged record is lost"]);
  });

  test("an acknowledged record at another place is found", () => {
    const lines = all.map((line) =>
      line[0] === "ack" && line[1] === "plain" && line[2] === 2 ? ["ack", "plain", 2, 0, 7] : line,
    );
    assert.deepEqual(broken(lines), ["no acknowledged record is lost"]);
  });

  test("a record that was not sent, or to another partition, is found", () => {
    assert.deepEqual(broken(withRecord(1, 1, "plain 9 0")), ["nothing is there that was not sent"]);
    assert.ok(broken(withRecord(1, 1, "plain 2 0")).includes("nothing is there that was not sent"));
  });

  test("a record of an idempotent producer that is there twice is found, one of a plain producer is not", () => {
    assert.deepEqual(broken(withRecord(0, 5, "once 2 0")), [
      "what an idempotent or transactional producer sent is there once",
    ]);
    assert.deepEqual(broken(withRecord(0, 5, "whole 1 1")), [
      "what an idempotent or transactional producer sent is there once",
    ]);
    assert.deepEqual(broken(withRecord(0, 5, "plain 2 0")), []);
  });

  test("two records that changed places are found", () => {
    const lines = JSON.parse(
      JSON.stringify(all)
        .replaceAll('[2,"once 1 0"]', '[2,"once x 0"]')
        .replaceAll('[3,"once 2 0"]', '[3,"once 1 0"]')
        .replaceAll('[2,"once x 0"]', '[2,"once 2 0"]')
        .replace('["ack","once",1,0,2]', '["ack","once",1,0,3]')
        .replace('["ack","once",2,0,3]', '["ack","once",2,0,2]'),
    ) as Line[];
    assert.deepEqual(broken(lines), ["a producer's records keep their order in a partition"]);
  });

  test("a record of an aborted transaction that is seen as committed is found", () => {
    assert.deepEqual(broken(withRecord(0, 6, "whole 3 2")), ["nothing of an aborted transaction is committed"]);
    const read: Line = ["read", "c", "g", 0, [[6, "whole 3 2"]]];
    assert.deepEqual(broken([...all, read]), [
      "nothing of an aborted transaction is committed",
      "what was read stays as it was read",
    ]);
  });

  test("a record of a transaction that its producer did not live to end is found", () => {
    const lines = withRecord(0, 6, "whole 3 2").filter((line) => line[0] !== "aborted");
    assert.deepEqual(broken(lines), ["nothing of an aborted transaction is committed"]);
  });

  test("a committed transaction that lacks a record is found", () => {
    const lines = all.map((line) =>
      line[0] === "log" && line[1] === "committed" && line[2] === 1 ? ["log", "committed", 1, []] : line,
    );
    assert.deepEqual(broken(lines), ["a committed transaction is whole", "what was read stays as it was read"]);
  });

  test("a transaction whose commit had no answer is whole or not there", () => {
    const whole = withRecord(1, 1, "whole 4 3");
    assert.deepEqual(broken(whole), []);
    const half = [...all, ["send", "whole", 5, 3, 0]];
    assert.deepEqual(broken(half), []);
    assert.deepEqual(broken([...whole, ["send", "whole", 5, 3, 0]]), ["a committed transaction is whole"]);
  });

  test("a transaction that never ends is found", () => {
    const lines = all.map((line) => (line[0] === "end" && line[1] === "committed" ? [...line.slice(0, 3), 1] : line));
    assert.deepEqual(broken(lines), ["no transaction stays open"]);
  });

  test("a record that was read and is no more is found", () => {
    assert.deepEqual(broken([...all, ["read", "c", "g", 0, [[9, "plain 1 0"]]]]), [
      "what was read stays as it was read",
    ]);
  });

  test("a record that compaction has replaced by itself may be gone, where a plain producer sent it", () => {
    const read: Line = ["read", "c", "g", 0, [[0, "plain 1 0"]]];
    const moved = replaced('[0,"plain 1 0"],', "").filter((line) => line[0] !== "read");
    const lines = [
      ...moved.map((line) =>
        line[0] === "ack" && line[1] === "plain" && line[2] === 1 ? ["ack", "plain", 1, 0, 5] : line,
      ),
      ["log", "uncommitted", 0, [[5, "plain 1 0"]]],
      ["log", "committed", 0, [[5, "plain 1 0"]]],
      [
        "read",
        "c",
        "g",
        0,
        [
          [1, "plain 2 0"],
          [2, "once 1 0"],
          [3, "once 2 0"],
          [4, "whole 1 1"],
          [5, "plain 1 0"],
        ],
      ],
      ["read", "c", "g", 1, [[0, "whole 2 1"]]],
      read,
    ];
    const order = "a producer's records keep their order in a partition";
    assert.deepEqual(broken(lines, true), [order]);
    assert.deepEqual(broken(lines), [order, "what was read stays as it was read"]);
  });

  test("a group that is found before what it had committed is found, and one that asked too early is not", () => {
    assert.deepEqual(broken([...all, ["position", "observer", "g", 0, 3, 70, 80, "seen"]]), [
      "a group's offsets never go back",
    ]);
    assert.deepEqual(broken([...all, ["position", "observer", "g", 0, -1, 70, 80, "seen"]]), [
      "a group's offsets never go back",
    ]);
    assert.deepEqual(broken([...all, ["position", "d", "g", 0, 4, 70, 80, "commit"]]), [
      "a group's offsets never go back",
    ]);
    assert.deepEqual(broken([...all, ["position", "observer", "g", 0, 3, 55, 80, "seen"]]), []);
  });

  test("a record that a group has not read is found", () => {
    const lines = all.filter((line) => line[0] !== "read" || line[3] !== 1);
    assert.deepEqual(broken(lines), ["a group reads every committed record"]);
  });

  test("a send that fails for good is found, unless it belongs to a transaction", () => {
    assert.deepEqual(broken([...all, ["failed", "once", 2, "OutOfOrderSequence"]]), ["retries outlast every outage"]);
    assert.deepEqual(broken([...all, ["failed", "whole", 3, "Aborted"]]), []);
  });

  test("half a line of a killed client is left out", () => {
    assert.equal(new HistoryLines(kinds, ["g"]).add('["send","plain",1'), false);
  });
});
