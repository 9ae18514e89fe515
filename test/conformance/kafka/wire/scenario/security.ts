/** ACLs, SCRAM credentials, SASL, and what a principal without rights is told. */
import { pbkdf2Sync } from "node:crypto";
import { alterUserScramCredentials } from "../../../../../src/kafka/apis/alter-user-scram-credentials.ts";
import { createAcls } from "../../../../../src/kafka/apis/create-acls.ts";
import { createTopics } from "../../../../../src/kafka/apis/create-topics.ts";
import { deleteAcls } from "../../../../../src/kafka/apis/delete-acls.ts";
import { describeAcls } from "../../../../../src/kafka/apis/describe-acls.ts";
import { describeUserScramCredentials } from "../../../../../src/kafka/apis/describe-user-scram-credentials.ts";
import { saslAuthenticate } from "../../../../../src/kafka/apis/sasl-authenticate.ts";
import { saslHandshake } from "../../../../../src/kafka/apis/sasl-handshake.ts";
import { type Step, step } from "../script.ts";
import { stranger } from "./stranger.ts";
import { versionsOf } from "./versions.ts";

const kind = { any: 1, topic: 2, group: 3, cluster: 4, transactionalId: 5 };
const pattern = { any: 1, match: 2, literal: 3, prefixed: 4 };
const verb = { any: 1, all: 2, read: 3, write: 4, describe: 8 };
const permission = { any: 1, deny: 2, allow: 3 };
const everything = {
  ...{ resourceTypeFilter: kind.any, resourceNameFilter: null, patternTypeFilter: pattern.any },
  ...{ principalFilter: null, hostFilter: null, operation: verb.any, permissionType: permission.any },
};
const rule = {
  ...{ resourceType: kind.topic, resourceName: "ruled", resourcePatternType: pattern.literal },
  ...{ principal: "User:carol", host: "*", operation: verb.read, permissionType: permission.allow },
};

const acls: readonly Step[] = versionsOf(createAcls).flatMap((v) => [
  step(`CreateAcls v${v}`, createAcls, v, {
    creations: [
      rule,
      { ...rule, resourceName: `ruled-${v}`, operation: verb.describe },
      { ...rule, resourceName: "ru", resourcePatternType: pattern.prefixed, permissionType: permission.deny },
      { ...rule, resourceType: kind.cluster, resourceName: "kafka-cluster", operation: verb.all },
    ],
  }),
  ...[
    { ...rule, principal: "carol" },
    { ...rule, principal: "" },
    { ...rule, resourceName: "" },
    { ...rule, resourceType: kind.cluster, resourceName: "other-cluster" },
    { ...rule, resourceType: kind.any },
    { ...rule, resourcePatternType: pattern.match },
    { ...rule, operation: verb.any },
    { ...rule, permissionType: permission.any },
    { ...rule, host: "" },
    { ...rule, resourceType: 77 },
  ].map((creation, index) =>
    step(`CreateAcls v${v}: refusal ${index}`, createAcls, v, {
      creations: [creation, { ...rule, resourceName: `beside-${index}` }],
    }),
  ),
  step(`DescribeAcls v${v}`, describeAcls, v, everything, { until: ({ resources }) => resources.length >= 4 }),
  step(`DescribeAcls v${v} that match`, describeAcls, v, {
    ...{ ...everything, resourceTypeFilter: kind.topic, resourceNameFilter: "ruled", patternTypeFilter: pattern.match },
  }),
  step(`DescribeAcls v${v} of nobody`, describeAcls, v, { ...everything, principalFilter: "User:nobody" }),
  step(`DescribeAcls v${v} of a principal that is none`, describeAcls, v, { ...everything, principalFilter: "nobody" }),
  step(`DeleteAcls v${v}`, deleteAcls, v, {
    filters: [
      {
        ...everything,
        resourceTypeFilter: kind.topic,
        resourceNameFilter: `ruled-${v}`,
        patternTypeFilter: pattern.literal,
      },
      { ...everything, principalFilter: "User:nobody" },
      { ...everything, principalFilter: "User:carol" },
    ],
  }),
  step(`DescribeAcls v${v} when they are gone`, describeAcls, v, everything, {
    until: ({ resources }) => resources.length === 0,
  }),
]);

const salt = Buffer.from("a salt that is long enough");
const saltedPassword = Buffer.alloc(32, 7);
const alicesPassword = pbkdf2Sync("secret", salt, 4_096, 32, "sha256");
const scram: readonly Step[] = [
  step("AlterUserScramCredentials", alterUserScramCredentials, 0, {
    deletions: [],
    upsertions: [
      // Kafka knows her from its settings, and the door from this.
      { name: "alice", mechanism: 1, iterations: 4_096, salt, saltedPassword: alicesPassword },
      { name: "dora", mechanism: 1, iterations: 4_096, salt, saltedPassword },
      { name: "emil", mechanism: 2, iterations: 8_192, salt, saltedPassword: Buffer.alloc(64, 7) },
    ],
  }),
  step("AlterUserScramCredentials: every refusal", alterUserScramCredentials, 0, {
    deletions: [
      { name: "nobody", mechanism: 1 },
      { name: "", mechanism: 1 },
      { name: "fritz", mechanism: 9 },
    ],
    upsertions: [
      { name: "gerd", mechanism: 1, iterations: 1, salt, saltedPassword },
      { name: "hans", mechanism: 7, iterations: 4_096, salt, saltedPassword },
      { name: "inge", mechanism: 1, iterations: 100_000, salt, saltedPassword },
      { name: "jan", mechanism: 1, iterations: 4_096, salt, saltedPassword },
      { name: "jan", mechanism: 1, iterations: 4_097, salt, saltedPassword },
    ],
  }),
  step("DescribeUserScramCredentials", describeUserScramCredentials, 0, {
    users: ["dora", "emil", "nobody", "twice", "twice"].map((name) => ({ name })),
  }),
  step("AlterUserScramCredentials: deleted", alterUserScramCredentials, 0, {
    deletions: [{ name: "emil", mechanism: 2 }],
    upsertions: [],
  }),
];

const password = (user: string, secret: string) => ({ authBytes: Buffer.from(`\0${user}\0${secret}`) });
const sasl: readonly Step[] = [
  step("SaslHandshake v0", saslHandshake, 0, { mechanism: "PLAIN" }, { on: "sasl-old" }),
  step("a mechanism that is not there", saslHandshake, 1, { mechanism: "MAGIC" }, { on: "sasl-magic" }),
  step("SaslAuthenticate without a handshake", saslAuthenticate, 2, password("alice", "secret"), { on: "sasl-early" }),
  step("a request before the handshake", createTopics, 7, { topics: [], timeoutMs: 1 }, { on: "sasl-none" }),
  ...versionsOf(saslAuthenticate).flatMap((v) => [
    step(`SaslHandshake v1 for v${v}`, saslHandshake, 1, { mechanism: "PLAIN" }, { on: `sasl-good-${v}` }),
    step(`SaslAuthenticate v${v}`, saslAuthenticate, v, password("alice", "secret"), { on: `sasl-good-${v}` }),
    step(`SaslHandshake v1 for a bad v${v}`, saslHandshake, 1, { mechanism: "PLAIN" }, { on: `sasl-bad-${v}` }),
    step(`SaslAuthenticate v${v} with a wrong password`, saslAuthenticate, v, password("alice", "wrong"), {
      on: `sasl-bad-${v}`,
    }),
  ]),
  step("SaslHandshake where none is wanted", saslHandshake, 1, { mechanism: "PLAIN" }),
  step("SaslAuthenticate where none is wanted", saslAuthenticate, 2, password("alice", "secret")),
];

export const securityScenario: readonly Step[] = [...acls, ...scram, ...sasl, ...stranger("sasl-good-2")];
