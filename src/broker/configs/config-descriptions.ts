/** What DescribeConfigs and ListConfigResources answer, of each kind of resource. */
import { clusterName } from "../../access/access-rules.ts";
import { MillraceError } from "../../base/errors.ts";
import { checkTopicName } from "../../engine/topic-settings.ts";
import type { describeConfigs } from "../../kafka/apis/describe-configs.ts";
import type { listConfigResources } from "../../kafka/apis/list-config-resources.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { errorCodeOf, kafkaErrors } from "../../kafka/kafka-errors.ts";
import { nodeId } from "../broker-node.ts";
import type { DoorContext } from "../door-context.ts";
import type { RequestContext } from "../handler.ts";
import { type BrokerFacts, describeBrokerConfigs } from "./broker-configs.ts";
import type { ConfigEntry } from "./config-entry.ts";
import {
  accessFault,
  brokerNameFault,
  invalidRequest,
  isResourceType,
  type ResourceFault,
  resourceType,
} from "./config-resources.ts";
import { describeGroupConfigs } from "./group-configs.ts";
import { describeTopicConfigs, kafkaTopicDefaults } from "./topic-configs.ts";

type DescribeRequest = RequestOf<typeof describeConfigs>;
type DescribeResponse = ResponseInput<typeof describeConfigs>;
type Wanted = DescribeRequest["resources"][number];
type Described = DescribeResponse["results"][number];
type ListResponse = ResponseInput<typeof listConfigResources>;

export type ConfigDoor = Pick<DoorContext, "engine" | "settings" | "limits" | "node">;

const resourcesMax = 10_000;

/** Each resource is answered as often as it is asked for. */
export function describeResources(
  door: ConfigDoor,
  request: DescribeRequest,
  context: Pick<RequestContext, "allows">,
): DescribeResponse {
  const wanted = request.resources;
  const stranger = wanted.find((one) => !isResourceType(one.resourceType));
  const refused = stranger
    ? invalidRequest(`Unexpected resource type ${stranger.resourceType} for resource ${stranger.resourceName}`)
    : wanted.length > resourcesMax
      ? invalidRequest(`More than ${resourcesMax} resources are asked for`)
      : undefined;
  return {
    results: wanted.map((resource) => {
      const outcome = refused ?? describeOne(door, resource, context);
      return "errorCode" in outcome ? faulty(resource, outcome) : described(resource, outcome, request);
    }),
  };
}

/** Which resources there are, of the kinds that are asked for, or of all. */
export function listResources(
  door: ConfigDoor,
  types: readonly number[],
  context: Pick<RequestContext, "allows" | "apiVersion">,
): ListResponse {
  if (!context.allows("describe-configs", "cluster", clusterName)) {
    return { errorCode: kafkaErrors.CLUSTER_AUTHORIZATION_FAILED, configResources: [] };
  }
  if (types.some((type) => !isResourceType(type))) {
    return { errorCode: kafkaErrors.UNSUPPORTED_VERSION, configResources: [] };
  }
  // Client metrics and groups have no configs of their own here; version 0 asks for the former alone.
  const isListed = (type: number) => context.apiVersion > 0 && (types.length === 0 || types.includes(type));
  const named = (names: readonly string[], type: number) =>
    isListed(type) ? names.map((resourceName) => ({ resourceName, resourceType: type })) : [];
  const topics = door.engine.topics().map(({ name }) => name);
  return {
    errorCode: 0,
    configResources: [
      ...named([String(nodeId)], resourceType.broker),
      ...named([String(nodeId)], resourceType.brokerLogger),
      ...named(topics, resourceType.topic),
    ],
  };
}

function describeOne(
  door: ConfigDoor,
  { resourceType: type, resourceName: name, configurationKeys: keys }: Wanted,
  context: Pick<RequestContext, "allows">,
): readonly ConfigEntry[] | ResourceFault {
  const denied = accessFault(context, "describe-configs", type, name);
  if (denied) return denied;
  switch (type) {
    case resourceType.topic:
      return describeTopic(door, name, keys);
    case resourceType.broker:
      // Without a name, what was set for all brokers: nothing is.
      if (name === "") return [];
      return brokerNameFault(name, true) ?? describeBrokerConfigs(factsOf(door), keys);
    case resourceType.brokerLogger:
      return name === "" ? invalidRequest("Broker id must not be empty") : (brokerNameFault(name, false) ?? []);
    case resourceType.group:
      return name === "" ? invalidRequest("Group name must not be empty") : describeGroupConfigs(keys);
    default:
      return name === "" ? invalidRequest("Client metrics subscription name must not be empty") : [];
  }
}

function describeTopic(
  { engine }: ConfigDoor,
  name: string,
  keys: readonly string[] | null,
): readonly ConfigEntry[] | ResourceFault {
  try {
    checkTopicName(name);
  } catch (error) {
    return { errorCode: errorCodeOf(error), errorMessage: MillraceError.from(error).message };
  }
  const topic = engine.topic(name);
  if (!topic) return { errorCode: kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null };
  return describeTopicConfigs(topic, keys);
}

function factsOf({ settings, limits, node }: ConfigDoor): BrokerFacts {
  const endpoints = settings.listeners.map(({ name, host }) => ({
    name,
    ...node.endpoint({ listener: name, localAddress: host }),
  }));
  return {
    listeners: settings.listeners.map(({ name, protocol, host, port, advertised }, i) => {
      const bound = advertised.port === null ? endpoints[i]?.port : undefined;
      return { name, protocol, host, port: bound ?? port ?? 0 };
    }),
    advertised: endpoints,
    logDirectory: settings.logDirectory,
    autoCreateTopics: settings.autoCreateTopics,
    partitionsDefault: settings.partitionsDefault,
    limits,
    topicDefaults: kafkaTopicDefaults,
  };
}

function faulty({ resourceType: type, resourceName }: Wanted, { errorCode, errorMessage }: ResourceFault): Described {
  return { errorCode, errorMessage, resourceType: type, resourceName, configs: [] };
}

function described(
  { resourceType: type, resourceName }: Wanted,
  entries: readonly ConfigEntry[],
  { includeSynonyms, includeDocumentation }: DescribeRequest,
): Described {
  return {
    errorCode: 0,
    errorMessage: null,
    resourceType: type,
    resourceName,
    configs: entries.map(
      ({ name, value, readOnly, source, isSensitive, synonyms, type: configType, documentation }) => ({
        name,
        value,
        readOnly,
        configSource: source,
        isSensitive,
        synonyms: includeSynonyms ? synonyms : [],
        configType,
        documentation: includeDocumentation ? documentation : null,
      }),
    ),
  };
}
