/** What to do about all that is damaged, or what is chosen of it. Pure. */
import { MillraceError } from "../../base/errors.ts";
import { type PartitionRepair, planPartition } from "./partition-plan.ts";
import type { PartitionSurvey } from "./partition-survey.ts";
import type { SegmentHome, SegmentSurvey } from "./segment-survey.ts";
import type { LogSurvey } from "./verify-log.ts";

export interface RepairPlan {
  readonly partitions: readonly PartitionRepair[];
  /** The checkpoint is damaged, and goes. */
  readonly checkpoint: string | undefined;
  /** Files that go when all partitions have what could be read of them. */
  readonly journalFiles: readonly string[];
  /** Why something is left as it is. */
  readonly left: readonly string[];
}

export interface RepairChoice {
  readonly topics?: readonly string[];
  readonly partition?: number;
}

/** Throws `LOG_DAMAGED` when the catalogue is: without it nobody knows what belongs to what. */
export function planRepair(survey: LogSurvey, choice: RepairChoice = {}): RepairPlan {
  const catalogue = survey.findings.find(({ code }) => code === "CATALOGUE_DAMAGED");
  if (catalogue) {
    throw new MillraceError("LOG_DAMAGED", `nothing is repaired: ${catalogue.message}`, { hint: catalogue.wayOut });
  }
  const damaged = survey.partitions.filter(({ place }) => isChosen(place, choice) && hasDamage(survey, place));
  const partitions = damaged.map((one) => {
    const { foreign, strays } = strayed(one, survey.partitions, damaged);
    return planPartition(one, foreign, strays);
  });
  const isWhole = choice.topics === undefined && choice.partition === undefined;
  const journalFiles = survey.journal?.damagedFiles ?? [];
  const left: string[] = [];
  if (journalFiles.length > 0 && !isWhole)
    left.push("The journal concerns all topics: it is repaired with all of them.");
  if (survey.isCheckpointDamaged && !isWhole)
    left.push("The checkpoint concerns all topics: it is put aside with all of them.");
  return {
    partitions,
    checkpoint: survey.isCheckpointDamaged && isWhole ? "checkpoint" : undefined,
    journalFiles: isWhole ? journalFiles : [],
    left,
  };
}

export function isEmptyPlan({ partitions, checkpoint, journalFiles }: RepairPlan): boolean {
  return partitions.length === 0 && checkpoint === undefined && journalFiles.length === 0;
}

function isChosen(place: PartitionSurvey["place"], { topics, partition }: RepairChoice): boolean {
  return (topics?.includes(place.topic) ?? true) && (partition === undefined || place.partition === partition);
}

function hasDamage({ findings }: LogSurvey, { topic, partition }: PartitionSurvey["place"]): boolean {
  return findings.some((one) => one.severity === "damage" && one.topic === topic && one.partition === partition);
}

/** Each misplaced segment goes to the one partition that it belongs to, or to the side. */
function strayed(
  survey: PartitionSurvey,
  all: readonly PartitionSurvey[],
  damaged: readonly PartitionSurvey[],
): { foreign: SegmentSurvey[]; strays: SegmentSurvey[] } {
  const { place } = survey;
  const isHome = (home: SegmentHome, { topicId, partition }: PartitionSurvey["place"]): boolean =>
    home.topicId === topicId && home.partition === partition;
  const foreign = all
    .filter((one) => one !== survey)
    .flatMap(({ segments }) => segments.filter(({ belongs }) => belongs && isHome(belongs, place)));
  const strays = survey.segments.filter(({ belongs }) => belongs && !damaged.some((one) => isHome(belongs, one.place)));
  return { foreign, strays };
}
