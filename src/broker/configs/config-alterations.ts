/**
 * Alterations of configs, one resource after the other. Those of topics become settings of the log; the configs of the broker and of
 * groups are what they are, and setting them is refused.
 */
import { MillraceError } from "../../base/errors.ts";
import { checkTopicName } from "../../engine/topic-settings.ts";
import { errorCodeOf, kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { DoorContext } from "../door-context.ts";
import type { RequestContext } from "../handler.ts";
import {
  accessFault,
  brokerNameFault,
  invalidConfig,
  invalidRequest,
  isResourceType,
  type ResourceFault,
  resourceType,
} from "./config-resources.ts";
import { groupConfigRefusal } from "./group-configs.ts";
import { type ConfigOperation, kafkaTopicDefaults, planTopicChange, planTopicReplacement } from "./topic-configs.ts";

export interface Alteration {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly configs: readonly {
    readonly name: string;
    /** Left out where all of the resource's configs are replaced. */
    readonly configOperation?: number;
    readonly value: string | null;
  }[];
}

const operations: readonly ConfigOperation["operation"][] = ["set", "delete", "append", "subtract"];
const done: ResourceFault = { errorCode: kafkaErrors.NONE, errorMessage: null };

/** In the order of the alterations. What is wrong with one leaves the others alone. */
export async function alterResources(
  { engine }: Pick<DoorContext, "engine">,
  alterations: readonly Alteration[],
  kind: "change" | "replacement",
  validateOnly: boolean,
  context: Pick<RequestContext, "allows">,
): Promise<ResourceFault[]> {
  const counts = new Map<string, number>();
  for (const one of alterations) counts.set(keyOf(one), (counts.get(keyOf(one)) ?? 0) + 1);
  const outcomes: ResourceFault[] = [];
  for (const one of alterations) {
    const isRepeated = (counts.get(keyOf(one)) ?? 0) > 1;
    const fault = isRepeated ? invalidRequest("Each resource must appear at most once.") : formFault(one, kind);
    const refused = fault ?? accessFault(context, "alter-configs", one.resourceType, one.resourceName);
    outcomes.push(refused ?? (await alterOne(engine, one, kind, validateOnly)));
  }
  return outcomes;
}

function keyOf({ resourceType: type, resourceName }: Alteration): string {
  return `${type} ${resourceName}`;
}

function formFault(
  { resourceType: type, configs }: Alteration,
  kind: "change" | "replacement",
): ResourceFault | undefined {
  if (new Set(configs.map(({ name }) => name)).size < configs.length) {
    return invalidRequest("Error due to duplicate config keys");
  }
  const nulls = configs.filter(({ value, configOperation }) => value === null && configOperation !== 1);
  if (nulls.length > 0) {
    return invalidRequest(`Null value not supported for : ${nulls.map(({ name }) => name).join(", ")}`);
  }
  const unknown = configs.find(({ configOperation }) => operations[configOperation ?? 0] === undefined);
  if (unknown) return invalidRequest(`Unknown operations type ${unknown.configOperation}`);
  const isAltered = isResourceType(type) && (kind === "change" || type !== resourceType.brokerLogger);
  return isAltered ? undefined : invalidRequest(`Unknown resource type ${type}`);
}

async function alterOne(
  engine: DoorContext["engine"],
  alteration: Alteration,
  kind: "change" | "replacement",
  validateOnly: boolean,
): Promise<ResourceFault> {
  const { resourceType: type, resourceName: name, configs } = alteration;
  switch (type) {
    case resourceType.topic:
      return await alterTopic(engine, alteration, kind, validateOnly);
    case resourceType.broker: {
      const set = configs.filter(({ configOperation }) => configOperation !== 1).map((one) => one.name);
      const nameFault = name === "" ? undefined : brokerNameFault(name, false);
      if (nameFault || set.length === 0) return nameFault ?? done;
      return invalidRequest(
        `Cannot update these configs dynamically: ${set.join(", ")}; they are set where the broker is started`,
      );
    }
    case resourceType.group:
      return name === "" ? invalidRequest("Default group resources are not allowed.") : (groupFault(configs) ?? done);
    case resourceType.brokerLogger:
      return invalidRequest("Loggers cannot be set through the protocol here");
    default:
      return invalidRequest("Subscriptions of client metrics are not kept here");
  }
}

function groupFault(configs: Alteration["configs"]): ResourceFault | undefined {
  for (const { name, configOperation = 0, value } of configs) {
    const operation = operations[configOperation];
    if (operation === "delete") continue;
    const refused =
      operation === "set"
        ? groupConfigRefusal(name, value ?? "")
        : `Can't ${operation?.toUpperCase()} to key ${name} because its type is not LIST.`;
    if (refused !== undefined) return invalidConfig(refused);
  }
  return undefined;
}

/** As Kafka: the values first, then whether there is such a topic. */
async function alterTopic(
  engine: DoorContext["engine"],
  { resourceName: name, configs }: Alteration,
  kind: "change" | "replacement",
  validateOnly: boolean,
): Promise<ResourceFault> {
  if (name === "") return invalidRequest("Default topic resources are not allowed.");
  try {
    checkTopicName(name);
    const topic = engine.topic(name);
    const before = topic ?? { settings: kafkaTopicDefaults };
    const planned =
      kind === "change"
        ? planTopicChange(before, configs.map(operationOf))
        : planTopicReplacement(before, new Map(configs.map((one) => [one.name, one.value])));
    if ("error" in planned) return invalidConfig(planned.error);
    if (!topic) {
      return { errorCode: kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: `The topic '${name}' does not exist.` };
    }
    if (topic.readOnly) {
      const errorMessage = `Topic ${name} is Millrace's own, or a source's.`;
      return { errorCode: kafkaErrors.TOPIC_AUTHORIZATION_FAILED, errorMessage };
    }
    if (!validateOnly) await engine.alterTopic(name, planned.settings, { configs: planned.configs });
    return done;
  } catch (error) {
    if (MillraceError.is(error, "SETTING_INVALID")) return invalidConfig(error.message);
    return { errorCode: errorCodeOf(error), errorMessage: MillraceError.from(error).message };
  }
}

function operationOf({ name, configOperation = 0, value }: Alteration["configs"][number]): ConfigOperation {
  return { name, operation: operations[configOperation] ?? "set", value };
}
