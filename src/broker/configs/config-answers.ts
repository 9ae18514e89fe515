/**
 * DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources. Topics have configs that can be changed;
 * those of the broker and of groups are told.
 *
 * Always true: alterations follow each other, so that none is made of what another has changed since.
 */
import { alterConfigs } from "../../kafka/apis/alter-configs.ts";
import { describeConfigs } from "../../kafka/apis/describe-configs.ts";
import { incrementalAlterConfigs } from "../../kafka/apis/incremental-alter-configs.ts";
import { listConfigResources } from "../../kafka/apis/list-config-resources.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import { type Alteration, alterResources } from "./config-alterations.ts";
import { type ConfigDoor, describeResources, listResources } from "./config-descriptions.ts";

export function configAnswers(door: ConfigDoor): Answer[] {
  let last: Promise<unknown> = Promise.resolve();
  const alter = async (
    resources: readonly Alteration[],
    kind: "change" | "replacement",
    validateOnly: boolean,
    context: RequestContext,
  ) => {
    const turn = last.then(() => alterResources(door, resources, kind, validateOnly, context));
    last = turn.catch(() => undefined);
    const outcomes = await turn;
    return {
      responses: resources.map(({ resourceType, resourceName }, i) => ({
        errorCode: outcomes[i]?.errorCode ?? 0,
        errorMessage: outcomes[i]?.errorMessage ?? null,
        resourceType,
        resourceName,
      })),
    };
  };

  return [
    answers(describeConfigs, (request, context) => describeResources(door, request, context)),
    answers(alterConfigs, ({ resources, validateOnly }, context) =>
      alter(resources, "replacement", validateOnly, context),
    ),
    answers(incrementalAlterConfigs, ({ resources, validateOnly }, context) =>
      alter(resources, "change", validateOnly, context),
    ),
    answers(listConfigResources, ({ resourceTypes }, context) => listResources(door, resourceTypes, context)),
  ];
}
