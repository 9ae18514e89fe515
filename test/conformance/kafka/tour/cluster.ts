/** The cluster as a whole. */
import type { Step } from "../step.ts";

const brokerSettings = [
  "auto.create.topics.enable",
  "compression.type",
  "default.replication.factor",
  "delete.topic.enable",
  "group.max.session.timeout.ms",
  "group.min.session.timeout.ms",
  "log.cleanup.policy",
  "log.retention.bytes",
  "log.retention.hours",
  "log.segment.bytes",
  "message.max.bytes",
  "min.insync.replicas",
  "num.partitions",
  "offsets.retention.minutes",
  "transaction.max.timeout.ms",
  "transactional.id.expiration.ms",
];

export const clusterSteps: readonly Step[] = [
  { name: "the cluster is described", run: (tour) => tour.ask("describeCluster") },
  { name: "the levels of its features are told", run: (tour) => tour.ask("describeFeatures") },
  {
    name: "the broker's settings are told",
    run: (tour) => tour.ask("describeConfigs", { broker: "1", names: brokerSettings }),
  },
  {
    name: "access rules, quotas and users of an open cluster are told or refused",
    run: (tour) => tour.all(["describeAcls"], ["describeQuotas"], ["describeScramUsers"]),
  },
  {
    name: "how a topic lies on disk is told",
    run: async (tour) => {
      await tour.makeTopic("lying", { partitions: 2 });
      await tour.ask("produce", { topic: "lying", records: [{ partition: 0, value: "a little" }] });
      return tour.ask("describeLogDirs", { topic: "lying" });
    },
  },
  {
    name: "the leader of a partition need not be elected, and nothing is being moved",
    run: (tour) =>
      tour.all(
        ["electLeaders", { topic: "lying", partition: 0 }],
        ["electLeaders", { topic: "nothing-here", partition: 0 }],
        ["listReassignments"],
      ),
  },
];
