import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import { alterConfigs } from "../../kafka/apis/alter-configs.ts";
import { describeConfigs } from "../../kafka/apis/describe-configs.ts";
import { incrementalAlterConfigs } from "../../kafka/apis/incremental-alter-configs.ts";
import { listConfigResources } from "../../kafka/apis/list-config-resources.ts";
import type { Api, RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { BrokerNode } from "../broker-node.ts";
import { defaultBrokerLimits, type Listener } from "../door-settings.ts";
import type { RequestContext } from "../handler.ts";
import { configAnswers } from "./config-answers.ts";
import { resourceType } from "./config-resources.ts";

const { topic, broker, brokerLogger, clientMetrics, group } = resourceType;
const listener: Listener = {
  name: "PLAINTEXT",
  protocol: "PLAINTEXT",
  host: "127.0.0.1",
  port: null,
  advertised: { host: null, port: null },
};

interface House {
  readonly engine: EmbeddedEngine;
  ask<A extends Api>(api: A, request: RequestOf<A>, context?: Partial<RequestContext>): Promise<ResponseInput<A>>;
  alter(
    type: number,
    name: string,
    ...configs: readonly (readonly [name: string, value: string | null, operation?: number])[]
  ): Promise<readonly [number, string | null]>;
}

/** The answers over a log with a topic "t". */
async function openHouse(t: TestContext): Promise<House> {
  const engine = await openEmbeddedEngine({
    disk: new SimulatedDisk(seededRandom(1)),
    directory: "/data/log",
    clock: new VirtualClock(0),
    random: seededRandom(2),
    diagnostics: silentDiagnostics,
  });
  t.after(() => engine.close());
  await engine.createTopic("t");
  await engine.createTopic("owned", {}, { readOnly: true });
  const settings = {
    listeners: [listener],
    tls: null,
    autoCreateTopics: true,
    partitionsDefault: 3,
    logDirectory: "/data/log",
  };
  const node = new BrokerNode(engine.logId, [{ ...listener, boundPort: 19_092 }]);
  const all = configAnswers({ engine, settings, limits: defaultBrokerLimits, node });
  const ask: House["ask"] = async (api, request, context = {}) => {
    const answer = all.find((one) => one.api === api);
    const whole = { apiVersion: api.versions[1], allows: () => true, ...context } as RequestContext;
    return (await answer?.handle(request, whole)) as ResponseInput<typeof api>;
  };
  return {
    engine,
    ask,
    async alter(type, name, ...configs) {
      const { responses } = await ask(incrementalAlterConfigs, {
        resources: [
          {
            resourceType: type,
            resourceName: name,
            configs: configs.map(([config, value, configOperation = 0]) => ({ name: config, configOperation, value })),
          },
        ],
        validateOnly: false,
      });
      return [responses[0]?.errorCode ?? Number.NaN, responses[0]?.errorMessage ?? null];
    },
  };
}

function wanted(type: number, name: string, keys: readonly string[] | null = null) {
  return { resourceType: type, resourceName: name, configurationKeys: keys };
}

function describing(...resources: ReturnType<typeof wanted>[]): RequestOf<typeof describeConfigs> {
  return { resources, includeSynonyms: true, includeDocumentation: true };
}

async function described(house: House, type: number, name: string, keys: readonly string[] | null = null) {
  const { results } = await house.ask(describeConfigs, describing(wanted(type, name, keys)));
  assert.equal(results.length, 1);
  return results[0] as (typeof results)[number];
}

test("a topic's configs are altered, kept, and told with where they come from", async (t) => {
  const house = await openHouse(t);
  assert.deepEqual(await house.alter(topic, "t", ["retention.ms", "5000"], ["preallocate", "true"]), [0, null]);
  const { errorCode, configs } = await described(house, topic, "t", ["preallocate", "retention.ms", "segment.ms"]);
  assert.equal(errorCode, 0);
  assert.deepEqual(
    configs.map(({ name, value, configSource, configType }) => [name, value, configSource, configType]),
    [
      ["preallocate", "true", 1, 1],
      ["retention.ms", "5000", 1, 5],
      ["segment.ms", "604800000", 5, 5],
    ],
  );
  assert.deepEqual(configs[1]?.synonyms, [
    { name: "retention.ms", value: "5000", source: 1 },
    { name: "log.retention.ms", value: "-1", source: 4 },
  ]);
  assert.equal(house.engine.topic("t")?.settings.retentionMs, 5000);
  assert.deepEqual(await house.alter(topic, "t", ["retention.ms", null, 1]), [0, null]);
  assert.equal(house.engine.topic("t")?.settings.retentionMs, null);
  assert.deepEqual(house.engine.topic("t")?.configs, { preallocate: "true" });
});

test("synonyms and documentation are told to who asks for them", async (t) => {
  const house = await openHouse(t);
  const request = { ...describing(wanted(topic, "t")), includeSynonyms: false, includeDocumentation: false };
  const { results } = await house.ask(describeConfigs, request);
  for (const { synonyms, documentation } of results[0]?.configs ?? []) {
    assert.deepEqual([synonyms, documentation], [[], null]);
  }
});

test("a change that cannot be is refused whole, and a validation changes nothing", async (t) => {
  const house = await openHouse(t);
  const [code, message] = await house.alter(topic, "t", ["retention.ms", "5"], ["segment.ms", "x"]);
  assert.equal(code, kafkaErrors.INVALID_CONFIG);
  assert.equal(message, "Invalid value x for configuration segment.ms: Not a number of type LONG");
  const { responses } = await house.ask(incrementalAlterConfigs, {
    resources: [
      { resourceType: topic, resourceName: "t", configs: [{ name: "retention.ms", configOperation: 0, value: "5" }] },
    ],
    validateOnly: true,
  });
  assert.equal(responses[0]?.errorCode, 0);
  assert.equal(house.engine.topic("t")?.settings.retentionMs, null);
  assert.equal(house.engine.topic("t")?.configs, undefined);
});

test("changes at the same time are all made", async (t) => {
  const house = await openHouse(t);
  const changes = ["retention.ms", "segment.ms", "delete.retention.ms"].map((name, i) =>
    house.alter(topic, "t", [name, `${i + 5}`]),
  );
  for (const outcome of await Promise.all(changes)) assert.deepEqual(outcome, [0, null]);
  assert.deepEqual(house.engine.topic("t")?.configs, {
    "retention.ms": "5",
    "segment.ms": "6",
    "delete.retention.ms": "7",
  });
});

test("the older AlterConfigs resets what it does not name", async (t) => {
  const house = await openHouse(t);
  await house.alter(topic, "t", ["retention.ms", "5000"]);
  const { responses } = await house.ask(alterConfigs, {
    resources: [{ resourceType: topic, resourceName: "t", configs: [{ name: "segment.ms", value: "9" }] }],
    validateOnly: false,
  });
  assert.deepEqual(responses, [{ errorCode: 0, errorMessage: null, resourceType: topic, resourceName: "t" }]);
  assert.deepEqual(house.engine.topic("t")?.configs, { "segment.ms": "9" });
  assert.equal(house.engine.topic("t")?.settings.retentionMs, null);
});

test("topics that are not there, not a topic's name, or Millrace's own are refused, each with its code", async (t) => {
  const house = await openHouse(t);
  const codeOf = async (name: string) => (await house.alter(topic, name, ["retention.ms", "5"]))[0];
  assert.equal(await codeOf("x"), kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
  assert.equal(await codeOf("a b"), kafkaErrors.INVALID_TOPIC_EXCEPTION);
  assert.equal(await codeOf(""), kafkaErrors.INVALID_REQUEST);
  assert.equal(await codeOf("owned"), kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
  assert.equal((await house.alter(topic, "x", ["nope", "5"]))[0], kafkaErrors.INVALID_CONFIG);
  assert.equal((await described(house, topic, "x")).errorCode, kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
  assert.equal((await described(house, topic, "a b")).errorCode, kafkaErrors.INVALID_TOPIC_EXCEPTION);
  assert.equal((await described(house, topic, "owned")).errorCode, 0);
});

test("a request that names a thing twice, or says what it cannot mean, is refused in Kafka's words", async (t) => {
  const house = await openHouse(t);
  const invalid = (message: string) => [kafkaErrors.INVALID_REQUEST, message];
  assert.deepEqual(
    await house.alter(topic, "t", ["retention.ms", "5"], ["retention.ms", "6"]),
    invalid("Error due to duplicate config keys"),
  );
  assert.deepEqual(
    await house.alter(topic, "t", ["retention.ms", null], ["segment.ms", null]),
    invalid("Null value not supported for : retention.ms, segment.ms"),
  );
  assert.deepEqual(await house.alter(topic, "t", ["retention.ms", "5", 9]), invalid("Unknown operations type 9"));
  assert.deepEqual(await house.alter(3, "t", ["retention.ms", "5"]), invalid("Unknown resource type 3"));
  const one = { resourceType: topic, resourceName: "t", configs: [{ name: "retention.ms", value: "5" }] };
  const other = { ...one, resourceName: "x" };
  const { responses } = await house.ask(alterConfigs, { resources: [one, one, other], validateOnly: false });
  assert.deepEqual(
    responses.map(({ errorCode }) => errorCode),
    [kafkaErrors.INVALID_REQUEST, kafkaErrors.INVALID_REQUEST, kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION],
  );
});

test("the broker's configs are those that hold, read-only, and cannot be altered", async (t) => {
  const house = await openHouse(t);
  const { configs } = await described(house, broker, "1");
  const valueAt = (name: string) => configs.find((one) => one.name === name)?.value;
  assert.equal(valueAt("listeners"), "PLAINTEXT://127.0.0.1:19092");
  assert.equal(valueAt("advertised.listeners"), "PLAINTEXT://127.0.0.1:19092");
  assert.equal(valueAt("num.partitions"), "3");
  assert.equal(valueAt("default.replication.factor"), "1");
  assert.equal(valueAt("log.dirs"), "/data/log");
  assert.equal(valueAt("log.retention.ms"), "-1");
  assert.equal(valueAt("message.max.bytes"), "1048588");
  assert.equal(valueAt("auto.create.topics.enable"), "true");
  assert.ok(configs.every(({ readOnly }) => readOnly));
  assert.equal(new Set(configs.map(({ name }) => name)).size, configs.length);
  for (const { name, synonyms, value } of configs) if (value !== null) assert.equal(synonyms?.[0]?.name, name);

  assert.deepEqual((await described(house, broker, "")).configs, []);
  assert.match((await described(house, broker, "2")).errorMessage ?? "", /expected 1 or empty string, but received 2/);
  assert.match((await described(house, broker, "x")).errorMessage ?? "", /Broker id must be an integer, but it is: x/);
  for (const name of ["", "1"]) {
    const [code, message] = await house.alter(broker, name, ["log.retention.ms", "5"]);
    assert.equal(code, kafkaErrors.INVALID_REQUEST);
    assert.match(message ?? "", /Cannot update these configs dynamically: log.retention.ms/);
    assert.deepEqual(await house.alter(broker, name, ["log.retention.ms", null, 1]), [0, null]);
  }
  assert.equal((await house.alter(broker, "2", ["log.retention.ms", "5"]))[0], kafkaErrors.INVALID_REQUEST);
});

test("a group has the configs of all groups, and what holds is all that can be set", async (t) => {
  const house = await openHouse(t);
  const { configs } = await described(house, group, "any");
  assert.deepEqual(
    configs.map(({ name, value, configSource }) => [name, value, configSource]),
    [
      ["consumer.assignment.interval.ms", "1000", 5],
      ["consumer.heartbeat.interval.ms", "5000", 5],
      ["consumer.session.timeout.ms", "45000", 5],
    ],
  );
  const codeOf = async (...config: [string, string | null, number?]) => (await house.alter(group, "any", config))[0];
  assert.equal(await codeOf("consumer.session.timeout.ms", "45000"), 0);
  assert.equal(await codeOf("consumer.session.timeout.ms", null, 1), 0);
  assert.equal(await codeOf("consumer.session.timeout.ms", "50000"), kafkaErrors.INVALID_CONFIG);
  assert.equal(await codeOf("consumer.session.timeout.ms", "50000", 2), kafkaErrors.INVALID_CONFIG);
  assert.equal(await codeOf("nope", "1"), kafkaErrors.INVALID_CONFIG);
  assert.equal((await described(house, group, "")).errorCode, kafkaErrors.INVALID_REQUEST);
});

test("loggers and client metrics have no configs, and get none", async (t) => {
  const house = await openHouse(t);
  assert.deepEqual((await described(house, brokerLogger, "1")).configs, []);
  assert.deepEqual((await described(house, clientMetrics, "m")).configs, []);
  assert.equal((await described(house, brokerLogger, "")).errorCode, kafkaErrors.INVALID_REQUEST);
  assert.equal((await described(house, clientMetrics, "")).errorCode, kafkaErrors.INVALID_REQUEST);
  for (const type of [brokerLogger, clientMetrics]) {
    assert.equal((await house.alter(type, "1", ["a", "b"]))[0], kafkaErrors.INVALID_REQUEST);
  }
});

test("a kind that nobody knows refuses the whole description, and a resource is told as often as it is asked for", async (t) => {
  const house = await openHouse(t);
  const { results } = await house.ask(describeConfigs, describing(wanted(topic, "t"), wanted(3, "x")));
  assert.deepEqual(
    results.map(({ errorCode }) => errorCode),
    [kafkaErrors.INVALID_REQUEST, kafkaErrors.INVALID_REQUEST],
  );
  const twice = await house.ask(describeConfigs, describing(wanted(topic, "t"), wanted(topic, "t")));
  assert.equal(twice.results.length, 2);
  const many = Array.from({ length: 10_001 }, (_, i) => wanted(group, `g${i}`));
  const refused = await house.ask(describeConfigs, describing(...many));
  assert.ok(refused.results.every(({ errorCode, configs }) => errorCode !== 0 && configs.length === 0));
});

test("who may not see or alter a thing's configs is told so, and nothing is changed", async (t) => {
  const house = await openHouse(t);
  const asked: string[] = [];
  const nobody: Partial<RequestContext> = {
    allows(verb, kind, name) {
      asked.push(`${verb} ${kind} ${name}`);
      return false;
    },
  };
  const { TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED } = kafkaErrors;
  const codes = [TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED];
  const resources = [wanted(topic, "t"), wanted(broker, "1"), wanted(group, "g")];
  const { results } = await house.ask(describeConfigs, describing(...resources), nobody);
  assert.deepEqual(
    results.map(({ errorCode }) => errorCode),
    codes,
  );
  const configs = [{ name: "retention.ms", configOperation: 0, value: "5" }];
  const { responses } = await house.ask(
    incrementalAlterConfigs,
    { resources: resources.map((one) => ({ ...one, configs })), validateOnly: false },
    nobody,
  );
  assert.deepEqual(
    responses.map(({ errorCode }) => errorCode),
    codes,
  );
  assert.equal(house.engine.topic("t")?.configs, undefined);
  const listed = await house.ask(listConfigResources, { resourceTypes: [] }, nobody);
  assert.deepEqual(listed, { errorCode: CLUSTER_AUTHORIZATION_FAILED, configResources: [] });
  assert.deepEqual(asked, [
    "describe-configs topic t",
    "describe-configs cluster kafka-cluster",
    "describe-configs group g",
    "alter-configs topic t",
    "alter-configs cluster kafka-cluster",
    "alter-configs group g",
    "describe-configs cluster kafka-cluster",
  ]);
});

test("the resources that have configs are listed, all or by their kind", async (t) => {
  const house = await openHouse(t);
  const listed = async (resourceTypes: readonly number[], apiVersion = 1) => {
    const { errorCode, configResources } = await house.ask(listConfigResources, { resourceTypes }, { apiVersion });
    return errorCode || configResources.map(({ resourceType: type, resourceName }) => `${type} ${resourceName}`);
  };
  const all = (await listed([])) as string[];
  for (const one of ["4 1", "8 1", "2 t", "2 owned"]) assert.ok(all.includes(one), one);
  assert.deepEqual(await listed([broker]), ["4 1"]);
  assert.deepEqual(await listed([group, clientMetrics]), []);
  assert.deepEqual(await listed([], 0), []);
  assert.equal(await listed([3]), kafkaErrors.UNSUPPORTED_VERSION);
});
