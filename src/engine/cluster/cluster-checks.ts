/** What `doctor` looks at before a Kafka cluster is trusted with the log: nothing is changed on it. */
import type { ErrorCode } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";
import { createTopics } from "../../kafka/apis/create-topics.ts";
import { describeConfigs } from "../../kafka/apis/describe-configs.ts";
import { endTxn } from "../../kafka/apis/end-txn.ts";
import { fetch } from "../../kafka/apis/fetch.ts";
import { findCoordinator } from "../../kafka/apis/find-coordinator.ts";
import { offsetFetch } from "../../kafka/apis/offset-fetch.ts";
import { produce } from "../../kafka/apis/produce.ts";
import { txnOffsetCommit } from "../../kafka/apis/txn-offset-commit.ts";
import type { Api } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { printAddress } from "./broker-address.ts";
import { ClusterClient, type ClusterClientOptions } from "./cluster-client.ts";
import { assertNone, toMillraceError } from "./kafka-error.ts";

/** As the command line's findings are. */
export interface ClusterCheck {
  readonly what: string;
  readonly state: "ok" | "warning" | "failed";
  readonly message: string;
  readonly hint?: string;
  readonly code?: ErrorCode;
}

/** The lowest that the engine speaks. */
const versionsMin: readonly (readonly [Api, number])[] = [
  [produce, 12],
  [fetch, 12],
  [endTxn, 5],
  [txnOffsetCommit, 5],
  [createTopics, 7],
  [findCoordinator, 4],
  [offsetFetch, 8],
];

const transactionVersionMin = 2;
const copiesMin = 2;
const patienceMs = 15_000;
const brokerResource = 4;
const brokerConfigs = ["default.replication.factor", "min.insync.replicas", "unclean.leader.election.enable"];
const namesShown = 5;

/** Everything is looked at, whatever fails before it; one that cannot be reached is one finding. */
export async function checkCluster(options: ClusterClientOptions): Promise<ClusterCheck[]> {
  let client: ClusterClient;
  try {
    client = await ClusterClient.open({ openPatienceMs: patienceMs, ...options });
  } catch (error) {
    return [failure("Kafka cluster", error)];
  }
  try {
    const looks = [lookAtBrokers, lookAtTransactions, lookAtCopies, lookAtElections, lookAtTopics];
    return await Promise.all(looks.map((look) => look(client)));
  } finally {
    await client.close();
  }
}

/** Each is there under the address that it gives, and new enough. */
async function lookAtBrokers(client: ClusterClient): Promise<ClusterCheck> {
  const what = "Kafka brokers";
  const { brokers, clusterId } = client.metadata;
  try {
    for (const node of brokers.keys()) {
      const connection = await client.connectTo(node);
      for (const [api, versionMin] of versionsMin) connection.versionOf(api, { versionMin });
    }
  } catch (error) {
    return failure(what, error);
  }
  const addresses = [...brokers.values()].map(printAddress).join(", ");
  return { what, state: "ok", message: `${brokers.size} of cluster ${clusterId}: ${addresses}` };
}

async function lookAtTransactions(client: ClusterClient): Promise<ClusterCheck> {
  const what = "Kafka transactions";
  const level = client.features.get("transaction.version") ?? 0;
  const message = `transaction.version is ${level}`;
  if (level >= transactionVersionMin) return { what, state: "ok", message };
  return {
    what,
    state: "failed",
    message: `${message}: transactions can tear (KIP-890)`,
    hint: "Run kafka-features.sh upgrade --feature transaction.version=2.",
    code: "CLUSTER_UNSUITABLE",
  };
}

/** What new topics get. */
async function lookAtCopies(client: ClusterClient): Promise<ClusterCheck> {
  const what = "Kafka copies";
  try {
    const configs = await configsOfBroker(client);
    const copies = Number(configs.get("default.replication.factor"));
    const inSync = Number(configs.get("min.insync.replicas"));
    const message = `default.replication.factor is ${copies}, min.insync.replicas is ${inSync}`;
    if (copies >= copiesMin && inSync >= copiesMin) return { what, state: "ok", message };
    return {
      what,
      state: client.metadata.brokers.size < copiesMin ? "warning" : "failed",
      message: `${message}: what is acknowledged may be on one disk only`,
      hint: "Set default.replication.factor=3 and min.insync.replicas=2 on the brokers.",
      code: "CLUSTER_UNSUITABLE",
    };
  } catch (error) {
    return failure(what, error);
  }
}

async function lookAtElections(client: ClusterClient): Promise<ClusterCheck> {
  const what = "Kafka elections";
  try {
    const configs = await configsOfBroker(client);
    if (configs.get("unclean.leader.election.enable") !== "true") {
      return { what, state: "ok", message: "only replicas in sync become leaders" };
    }
    return {
      what,
      state: "failed",
      message: "unclean.leader.election.enable is true: what was acknowledged can be lost",
      hint: "Set unclean.leader.election.enable=false on the brokers.",
      code: "CLUSTER_UNSUITABLE",
    };
  } catch (error) {
    return failure(what, error);
  }
}

/** Millrace's own, as they were made. */
async function lookAtTopics(client: ClusterClient): Promise<ClusterCheck> {
  const what = "Kafka topics";
  const own = [...client.metadata.topics.values()].filter(({ name }) => name.startsWith("_millrace."));
  if (own.length === 0) return { what, state: "ok", message: "none of Millrace's own yet" };
  const without = own.filter(({ partitions }) => partitions.some(({ leaderId }) => leaderId < 0));
  if (without.length > 0) {
    const message = `${named(without)} have partitions without a leader`;
    return { what, state: "failed", message, hint: "Start the brokers that have them.", code: "CLUSTER_UNREACHABLE" };
  }
  const thin = own.filter(({ partitions }) => partitions.some(({ replicaCount }) => replicaCount < copiesMin));
  if (thin.length === 0) return { what, state: "ok", message: `${own.length} of Millrace's own, each in copies` };
  return {
    what,
    state: client.metadata.brokers.size < copiesMin ? "warning" : "failed",
    message: `${named(thin)} have partitions with one copy`,
    hint: "Run kafka-reassign-partitions.sh to give them more.",
    code: "CLUSTER_UNSUITABLE",
  };
}

async function configsOfBroker(client: ClusterClient): Promise<Map<string, string>> {
  const what = "asking for the brokers' settings";
  const [node] = client.metadata.brokers.keys();
  if (node === undefined) throw new MillraceError("CLUSTER_UNREACHABLE", "no broker is known");
  return await client.persist(
    what,
    async () => {
      const resources = [
        { resourceType: brokerResource, resourceName: String(node), configurationKeys: brokerConfigs },
      ];
      const { results } = await client.ask(node, "lookup", describeConfigs, { resources });
      const found = results[0];
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what, found?.errorMessage ?? null);
      return new Map(found?.configs.map(({ name, value }) => [name, value ?? ""]));
    },
    { patienceMs },
  );
}

function named(topics: readonly { readonly name: string }[]): string {
  const names = topics.slice(0, namesShown).map(({ name }) => name);
  return topics.length > namesShown ? `${names.join(", ")} and ${topics.length - namesShown} more` : names.join(", ");
}

function failure(what: string, thrown: unknown): ClusterCheck {
  const { message, hint, code } = toMillraceError(thrown);
  return { what, state: "failed", message, code, ...(hint === undefined ? {} : { hint }) };
}
