import assert from "node:assert/strict";
import { pbkdf2Sync } from "node:crypto";
import { test } from "node:test";
import { credentialOf } from "../../access/scram-keys.ts";
import { alterUserScramCredentials } from "../../kafka/apis/alter-user-scram-credentials.ts";
import { describeUserScramCredentials } from "../../kafka/apis/describe-user-scram-credentials.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { AccessDoor } from "./access-answers.fixture.ts";

const salt = Buffer.from("some salt");
const saltedPassword = pbkdf2Sync("secret", salt, 4096, 32, "sha256");
const upsertion = { name: "alice", mechanism: 1, iterations: 4096, salt, saltedPassword };

test("a credential that is set is kept without its password, described by its iterations, and deleted", async () => {
  const door = await AccessDoor.open();
  const upsertions = [upsertion, { ...upsertion, name: "bob", mechanism: 2, iterations: 8192 }];
  const set = await door.ask(alterUserScramCredentials, { deletions: [], upsertions });
  assert.deepEqual(set.results, [
    { user: "alice", errorCode: 0, errorMessage: null },
    { user: "bob", errorCode: 0, errorMessage: null },
  ]);
  const expected = credentialOf("SCRAM-SHA-256", saltedPassword, salt, 4096);
  assert.deepEqual(door.credentials.find("alice", "SCRAM-SHA-256"), expected);
  for (const users of [null, []]) {
    const { results, errorCode } = await door.ask(describeUserScramCredentials, { users });
    assert.equal(errorCode, 0);
    assert.deepEqual(
      results.map(({ user, credentialInfos }) => [user, credentialInfos]),
      [
        ["alice", [{ mechanism: 1, iterations: 4096 }]],
        ["bob", [{ mechanism: 2, iterations: 8192 }]],
      ],
    );
  }
  const gone = await door.ask(alterUserScramCredentials, {
    deletions: [{ name: "alice", mechanism: 1 }],
    upsertions: [],
  });
  assert.deepEqual(gone.results, [{ user: "alice", errorCode: 0, errorMessage: null }]);
  assert.equal(door.credentials.find("alice", "SCRAM-SHA-256"), undefined);
});

test("what is wrong is answered for its user, and keeps no other from being changed", async () => {
  const door = await AccessDoor.open();
  const { UNACCEPTABLE_CREDENTIAL, UNSUPPORTED_SASL_MECHANISM, RESOURCE_NOT_FOUND, DUPLICATE_RESOURCE } = kafkaErrors;
  const { results } = await door.ask(alterUserScramCredentials, {
    deletions: [
      { name: "nobody", mechanism: 1 },
      { name: "odd", mechanism: 9 },
      { name: "twice", mechanism: 1 },
    ],
    upsertions: [
      upsertion,
      { ...upsertion, name: "twice" },
      { ...upsertion, name: "" },
      { ...upsertion, name: "few", iterations: 4095 },
      { ...upsertion, name: "many", iterations: 16_385 },
      { ...upsertion, name: "unknown", mechanism: 0 },
      { ...upsertion, name: "unsalted", salt: Buffer.alloc(0) },
      { ...upsertion, name: "empty", saltedPassword: Buffer.alloc(0) },
      { ...upsertion, name: "again" },
      { ...upsertion, name: "again", mechanism: 2 },
      { ...upsertion, name: "again", mechanism: 2 },
    ],
  });
  const outcomes = Object.fromEntries(results.map(({ user, errorCode }) => [user, errorCode]));
  assert.deepEqual(outcomes, {
    nobody: RESOURCE_NOT_FOUND,
    odd: UNSUPPORTED_SASL_MECHANISM,
    twice: DUPLICATE_RESOURCE,
    alice: 0,
    "": UNACCEPTABLE_CREDENTIAL,
    few: UNACCEPTABLE_CREDENTIAL,
    many: UNACCEPTABLE_CREDENTIAL,
    unknown: UNSUPPORTED_SASL_MECHANISM,
    unsalted: UNACCEPTABLE_CREDENTIAL,
    empty: UNACCEPTABLE_CREDENTIAL,
    again: DUPLICATE_RESOURCE,
  });
  assert.deepEqual(door.credentials.users(), ["alice"]);
});

test("users that are not there, or are named twice, are told so", async () => {
  const door = await AccessDoor.open();
  await door.ask(alterUserScramCredentials, { deletions: [], upsertions: [upsertion] });
  const users = ["alice", "alice", "nobody"].map((name) => ({ name }));
  const { results } = await door.ask(describeUserScramCredentials, { users });
  assert.deepEqual(
    results.map(({ user, errorCode, errorMessage }) => [user, errorCode, errorMessage]),
    [
      [
        "alice",
        kafkaErrors.DUPLICATE_RESOURCE,
        "Cannot describe SCRAM credentials for the same user twice in a single request: alice",
      ],
      ["nobody", kafkaErrors.RESOURCE_NOT_FOUND, "Attempt to describe a user credential that does not exist: nobody"],
    ],
  );
});

test("who may not alter or describe the cluster sees and changes nothing", async () => {
  const door = await AccessDoor.open();
  const options = { principal: "User:alice" };
  const denied = kafkaErrors.CLUSTER_AUTHORIZATION_FAILED;
  const altered = await door.ask(
    alterUserScramCredentials,
    { deletions: [{ name: "bob", mechanism: 1 }], upsertions: [upsertion, { ...upsertion, mechanism: 2 }] },
    options,
  );
  assert.deepEqual(
    altered.results.map(({ user, errorCode }) => [user, errorCode]),
    [
      ["bob", denied],
      ["alice", denied],
    ],
  );
  assert.deepEqual(door.credentials.users(), []);
  const described = await door.ask(describeUserScramCredentials, { users: null }, options);
  assert.deepEqual([described.errorCode, described.results], [denied, []]);
});
