/** Configs of topics, brokers and groups, and client quotas. */
import { alterClientQuotas } from "../../../../../src/kafka/apis/alter-client-quotas.ts";
import { alterConfigs } from "../../../../../src/kafka/apis/alter-configs.ts";
import { describeClientQuotas } from "../../../../../src/kafka/apis/describe-client-quotas.ts";
import { describeConfigs } from "../../../../../src/kafka/apis/describe-configs.ts";
import { incrementalAlterConfigs } from "../../../../../src/kafka/apis/incremental-alter-configs.ts";
import { listConfigResources } from "../../../../../src/kafka/apis/list-config-resources.ts";
import { type Step, step } from "../script.ts";
import { topicSteps } from "./topics.ts";
import { versionsOf } from "./versions.ts";

const resource = { topic: 2, broker: 4, logger: 8, group: 32 };
const operation = { set: 0, delete: 1, append: 2, subtract: 3 };
const keys = ["retention.ms", "cleanup.policy", "min.insync.replicas", "compression.type", "no.such.config"];

function describing(name: string, version: number, more: { synonyms?: boolean; documentation?: boolean } = {}): Step {
  return step(name, describeConfigs, version, {
    resources: [
      { resourceType: resource.topic, resourceName: "configured", configurationKeys: keys },
      { resourceType: resource.topic, resourceName: "unknown", configurationKeys: null },
      { resourceType: resource.topic, resourceName: "not a name", configurationKeys: null },
      {
        resourceType: resource.broker,
        resourceName: "1",
        configurationKeys: ["log.retention.hours", "num.partitions"],
      },
      { resourceType: resource.broker, resourceName: "9", configurationKeys: [] },
      { resourceType: resource.broker, resourceName: "x", configurationKeys: [] },
      { resourceType: resource.broker, resourceName: "", configurationKeys: null },
      { resourceType: resource.group, resourceName: "a-group", configurationKeys: ["consumer.session.timeout.ms"] },
      { resourceType: resource.group, resourceName: "", configurationKeys: null },
      { resourceType: 77, resourceName: "x", configurationKeys: null },
    ],
    includeSynonyms: more.synonyms ?? false,
    includeDocumentation: more.documentation ?? false,
  });
}

function setting(name: string, value: string | null, configOperation = operation.set) {
  return { name, value, configOperation };
}

export const configScenario: readonly Step[] = [
  ...topicSteps("configured", 1, { "cleanup.policy": "compact,delete" }),
  ...versionsOf(describeConfigs).flatMap((v) => [
    describing(`DescribeConfigs v${v}`, v),
    describing(`DescribeConfigs v${v} with synonyms`, v, { synonyms: true }),
  ]),
  step("DescribeConfigs of all of a topic", describeConfigs, 4, {
    resources: [{ resourceType: resource.topic, resourceName: "configured", configurationKeys: null }],
    includeSynonyms: true,
  }),
  step("DescribeConfigs of all of a group", describeConfigs, 4, {
    resources: [{ resourceType: resource.group, resourceName: "a-group", configurationKeys: null }],
    includeSynonyms: true,
  }),
  ...versionsOf(incrementalAlterConfigs).flatMap((v) => [
    step(`IncrementalAlterConfigs v${v}`, incrementalAlterConfigs, v, {
      resources: [
        {
          ...{ resourceType: resource.topic, resourceName: "configured" },
          configs: [setting("retention.ms", `${1000 + v}`), setting("cleanup.policy", "delete", operation.subtract)],
        },
        {
          ...{ resourceType: resource.group, resourceName: "a-group" },
          configs: [setting("consumer.session.timeout.ms", "50000")],
        },
      ],
      validateOnly: false,
    }),
    step(`IncrementalAlterConfigs v${v}: every refusal`, incrementalAlterConfigs, v, {
      resources: [
        { resourceType: resource.topic, resourceName: "configured", configs: [setting("no.such.config", "1")] },
        { resourceType: resource.topic, resourceName: "unknown", configs: [setting("retention.ms", "1")] },
        { resourceType: resource.topic, resourceName: "", configs: [setting("retention.ms", "1")] },
        { resourceType: resource.broker, resourceName: "9", configs: [setting("log.retention.ms", "1")] },
        { resourceType: resource.broker, resourceName: "x", configs: [setting("log.retention.ms", "1")] },
        {
          resourceType: resource.group,
          resourceName: "b-group",
          configs: [setting("consumer.session.timeout.ms", "1")],
        },
        { resourceType: resource.group, resourceName: "", configs: [setting("consumer.session.timeout.ms", "50000")] },
        { resourceType: 77, resourceName: "x", configs: [setting("a", "1")] },
      ],
      validateOnly: false,
    }),
    ...[
      [setting("retention.ms", "1"), setting("retention.ms", "2")],
      [setting("retention.ms", null)],
      [setting("retention.ms", "1", operation.append)],
      [setting("retention.ms", "1", 9)],
      [setting("retention.ms", "-5")],
      [setting("segment.bytes", "1")],
      [setting("compression.type", "rar")],
      [setting("cleanup.policy", "keep", operation.append)],
      [setting("", "1")],
      [],
    ].map((configs, index) =>
      step(`IncrementalAlterConfigs v${v}: refusal ${index}`, incrementalAlterConfigs, v, {
        resources: [{ resourceType: resource.topic, resourceName: "configured", configs }],
        validateOnly: true,
      }),
    ),
    step(`IncrementalAlterConfigs v${v}: one thing twice`, incrementalAlterConfigs, v, {
      resources: [1, 2].map((value) => ({
        ...{
          resourceType: resource.topic,
          resourceName: "configured",
          configs: [setting("retention.ms", String(value))],
        },
      })),
      validateOnly: true,
    }),
    step(
      `what v${v} has altered`,
      describeConfigs,
      4,
      { resources: [{ resourceType: resource.topic, resourceName: "configured", configurationKeys: keys }] },
      {
        until: ({ results }) =>
          results[0]?.configs.find(({ name }) => name === "retention.ms")?.value === `${1000 + v}`,
      },
    ),
  ]),
  ...versionsOf(alterConfigs).flatMap((v) => [
    step(`AlterConfigs v${v}`, alterConfigs, v, {
      resources: [
        {
          resourceType: resource.topic,
          resourceName: "configured",
          configs: [{ name: "retention.bytes", value: `${5000 + v}` }],
        },
      ],
      validateOnly: false,
    }),
    step(`AlterConfigs v${v}: every refusal`, alterConfigs, v, {
      resources: [
        { resourceType: resource.topic, resourceName: "configured", configs: [{ name: "no.such.config", value: "1" }] },
        { resourceType: resource.topic, resourceName: "unknown", configs: [] },
        { resourceType: resource.broker, resourceName: "9", configs: [] },
        { resourceType: 77, resourceName: "x", configs: [] },
      ],
      validateOnly: false,
    }),
    step(`AlterConfigs v${v}: null`, alterConfigs, v, {
      resources: [
        { resourceType: resource.topic, resourceName: "configured", configs: [{ name: "retention.ms", value: null }] },
      ],
      validateOnly: true,
    }),
  ]),
  ...versionsOf(listConfigResources).map((v) =>
    step(`ListConfigResources v${v}`, listConfigResources, v, {
      resourceTypes: v === 0 ? [] : [resource.group, resource.topic],
    }),
  ),
  step("ListConfigResources of a type that is not there", listConfigResources, 1, { resourceTypes: [77] }),
  step("ListConfigResources of all types", listConfigResources, 1, { resourceTypes: [] }),
  ...versionsOf(alterClientQuotas).flatMap((v) => [
    step(`AlterClientQuotas v${v}`, alterClientQuotas, v, {
      entries: [
        {
          entity: [
            { entityType: "user", entityName: `u${v}` },
            { entityType: "client-id", entityName: null },
          ],
          ops: [
            { key: "producer_byte_rate", value: 1_000_000, remove: false },
            { key: "request_percentage", value: 200, remove: false },
          ],
        },
        {
          entity: [{ entityType: "ip", entityName: "10.0.0.1" }],
          ops: [{ key: "connection_creation_rate", value: 10, remove: false }],
        },
        {
          entity: [{ entityType: "user", entityName: "nobody" }],
          ops: [{ key: "consumer_byte_rate", value: 0, remove: true }],
        },
      ],
      validateOnly: false,
    }),
    ...[
      {
        entity: [{ entityType: "shoe", entityName: "x" }],
        ops: [{ key: "producer_byte_rate", value: 1, remove: false }],
      },
      { entity: [], ops: [{ key: "producer_byte_rate", value: 1, remove: false }] },
      { entity: [{ entityType: "user", entityName: "x" }], ops: [{ key: "no_such_rate", value: 1, remove: false }] },
      {
        entity: [{ entityType: "user", entityName: "x" }],
        ops: [{ key: "producer_byte_rate", value: -1, remove: false }],
      },
      {
        entity: [{ entityType: "user", entityName: "x" }],
        ops: [{ key: "producer_byte_rate", value: 0, remove: false }],
      },
      {
        entity: [{ entityType: "ip", entityName: "no such host!" }],
        ops: [{ key: "connection_creation_rate", value: 1, remove: false }],
      },
      {
        entity: [{ entityType: "ip", entityName: "10.0.0.1" }],
        ops: [{ key: "connection_creation_rate", value: 1.5, remove: false }],
      },
      {
        entity: [{ entityType: "user", entityName: "" }],
        ops: [{ key: "producer_byte_rate", value: 1, remove: false }],
      },
    ].map((entry, index) =>
      step(`AlterClientQuotas v${v}: refusal ${index}`, alterClientQuotas, v, {
        entries: [entry],
        validateOnly: false,
      }),
    ),
  ]),
  ...versionsOf(describeClientQuotas).flatMap((v) => [
    step(
      `DescribeClientQuotas v${v}`,
      describeClientQuotas,
      v,
      { components: [], strict: false },
      {
        until: ({ entries }) => (entries?.length ?? 0) >= 3,
      },
    ),
    ...[
      [{ entityType: "user", matchType: 0, match: "u0" }],
      [{ entityType: "client-id", matchType: 1, match: null }],
      [{ entityType: "user", matchType: 2, match: null }],
      [{ entityType: "shoe", matchType: 2, match: null }],
      [{ entityType: "user", matchType: 9, match: null }],
      [{ entityType: "user", matchType: 0, match: null }],
      [{ entityType: "user", matchType: 2, match: "u0" }],
      [
        { entityType: "user", matchType: 2, match: null },
        { entityType: "user", matchType: 2, match: null },
      ],
    ].flatMap((components, index) =>
      [false, true].map((strict) =>
        step(`DescribeClientQuotas v${v}: ${index}${strict ? ", strict" : ""}`, describeClientQuotas, v, {
          components,
          strict,
        }),
      ),
    ),
  ]),
];
