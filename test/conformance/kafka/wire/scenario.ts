/** All steps, in their order: later parts use topics and groups of earlier ones. */
import { clusterScenario } from "./scenario/cluster.ts";
import { configScenario } from "./scenario/configs.ts";
import { groupScenario } from "./scenario/groups.ts";
import { recordScenario } from "./scenario/records.ts";
import { securityScenario } from "./scenario/security.ts";
import { topicScenario } from "./scenario/topics.ts";
import { transactionScenario } from "./scenario/transactions.ts";
import type { Step } from "./script.ts";

export const scenario: readonly Step[] = [
  ...topicScenario,
  ...recordScenario,
  ...groupScenario,
  ...transactionScenario,
  ...configScenario,
  ...clusterScenario,
  ...securityScenario,
];
