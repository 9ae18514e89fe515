/** The whole tour, in its order: later steps of a part use what earlier ones made. */
import type { Step } from "./step.ts";
import { clusterSteps } from "./tour/cluster.ts";
import { groupSteps } from "./tour/groups.ts";
import { offsetSteps } from "./tour/offsets.ts";
import { recordSteps } from "./tour/records.ts";
import { topicSteps } from "./tour/topics.ts";
import { transactionSteps } from "./tour/transactions.ts";

export const tourSteps: readonly Step[] = [
  ...topicSteps,
  ...recordSteps,
  ...offsetSteps,
  ...groupSteps,
  ...transactionSteps,
  ...clusterSteps,
];
