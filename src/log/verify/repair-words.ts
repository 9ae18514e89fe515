/** A plan of repair in the words that an operator reads before saying yes. */
import * as path from "node:path";
import { makeSegmentName } from "../segment-name.ts";
import type { PartitionRepair, RepairStep } from "./partition-plan.ts";
import type { RepairPlan } from "./repair-plan.ts";

export function wordsOf(plan: RepairPlan): string[] {
  const lines = plan.partitions.flatMap((partition) => {
    const { topic, partition: number } = partition.survey.place;
    return wordsOfPartition(partition).map((line) => `${topic}/${number}: ${line}`);
  });
  if (plan.journalFiles.length > 0) {
    const names = plan.journalFiles.map((file) => path.basename(file)).join(", ");
    lines.push(`journal: put what can be read into the partitions, and take ${names} away`);
  }
  if (plan.checkpoint !== undefined) lines.push("checkpoint: take it away; the next start reads everything");
  return lines;
}

export function wordsOfPartition({ first, then, missing, nextOffset }: PartitionRepair): string[] {
  const lines = [...first, ...then].flatMap((step) => wordsOfStep(step) ?? []);
  for (const { from, to } of missing) {
    const what = to === from + 1 ? `offset ${from} stays empty` : `offsets ${from} to ${to - 1} stay empty`;
    lines.push(`${what}; records that stood there are lost`);
  }
  return [...lines, `go on at offset ${nextOffset}, under a new leader epoch`];
}

function wordsOfStep(step: RepairStep): string | undefined {
  switch (step.kind) {
    case "keep-aside": {
      const { fromBytes, toBytes, reason } = step;
      const what = toBytes === Number.POSITIVE_INFINITY ? "all" : `bytes ${fromBytes} to ${toBytes}`;
      return `copy ${what} of ${path.basename(step.path)} to the side: ${reason}`;
    }
    case "read-back":
      return "read back what stands behind the checkpoint, as a start does";
    case "end-swap":
      return "end a compaction that was being put in place";
    case "state":
      return undefined;
    case "begin":
      return `begin a new segment at offset ${step.baseOffset}`;
    case "move":
      return `move ${path.basename(step.from)} to ${path.basename(step.to)}`;
    case "rewrite": {
      const fromJournal = step.pieces.filter(({ kind }) => kind === "journal").length;
      const journal = fromJournal > 0 ? `, with ${fromJournal} of the journal's batches` : "";
      return `write ${path.basename(step.remove)} anew as ${makeSegmentName(step.add)}, with all right batches${journal}`;
    }
    case "remove":
      return `take ${path.basename(step.path)} away`;
  }
}
