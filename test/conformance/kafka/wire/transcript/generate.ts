/** A transcript: steps chosen from a seed, with what a client in trouble, or one that means harm, would send. */
import { seededRandom } from "../../../../../src/base/random.ts";
import type { Step } from "../script.ts";
import { Choice } from "./choice.ts";
import * as groups from "./groups.ts";
import * as records from "./records.ts";
import * as topics from "./topics.ts";
import * as transactions from "./transactions.ts";
import { World } from "./world.ts";

type Action = (world: World) => void;

const themes: Readonly<Record<string, readonly (readonly [weight: number, action: Action])[]>> = {
  topics: [
    [6, topics.makesTopics],
    [3, topics.growsTopics],
    [2, topics.deletesTopics],
    [5, topics.looksAtTopics],
    [4, topics.altersConfigs],
    [3, topics.describesConfigs],
    [1, topics.electsLeaders],
    [2, records.listsOffsets],
  ],
  records: [
    [1, topics.makesTopics],
    [2, records.beginsProducer],
    [8, records.produces],
    [5, records.fetches],
    [4, records.listsOffsets],
    [1, records.asksForEpochs],
    [1, records.deletesRecords],
    [2, records.describesProducers],
  ],
  groups: [
    [8, groups.joins],
    [7, groups.syncs],
    [4, groups.beats],
    [2, groups.leaves],
    [4, groups.commits],
    [3, groups.fetchesOffsets],
    [1, groups.deletesOffsets],
    [1, groups.deletesGroups],
    [4, groups.looksAtGroups],
  ],
  consumers: [
    [10, groups.beatsAsConsumer],
    [3, groups.commits],
    [2, groups.fetchesOffsets],
    [1, groups.deletesOffsets],
    [1, groups.deletesGroups],
    [3, groups.looksAtGroups],
    [1, groups.joins],
  ],
  transactions: [
    [3, records.beginsProducer],
    [4, transactions.addsPartitions],
    [2, transactions.addsOffsets],
    [3, transactions.commitsInTransaction],
    [4, transactions.ends],
    [3, transactions.looksAtTransactions],
    [6, records.produces],
    [2, records.fetches],
    [2, groups.fetchesOffsets],
    [2, records.describesProducers],
    [1, groups.joins],
  ],
};

export const themeNames: readonly string[] = Object.keys(themes);

/** The same steps for the same seed, whatever the prefix. */
export function generate(theme: string, seed: number, length: number, prefix: string): Step[] {
  const choice = new Choice(seededRandom(seed));
  const world = new World(choice, prefix);
  topics.startsWith(world);
  const actions = themes[theme] ?? [];
  const total = actions.reduce((sum, [weight]) => sum + weight, 0);
  while (world.steps.length < length) {
    let left = choice.below(total);
    for (const [weight, action] of actions) {
      left -= weight;
      if (left >= 0) continue;
      action(world);
      break;
    }
  }
  return world.steps;
}
