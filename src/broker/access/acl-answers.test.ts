import assert from "node:assert/strict";
import { test } from "node:test";
import { createAcls } from "../../kafka/apis/create-acls.ts";
import { deleteAcls } from "../../kafka/apis/delete-acls.ts";
import { describeAcls } from "../../kafka/apis/describe-acls.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { AccessDoor } from "./access-answers.fixture.ts";

const creation = {
  resourceType: 2,
  resourceName: "orders",
  resourcePatternType: 3,
  principal: "User:alice",
  host: "*",
  operation: 3,
  permissionType: 3,
};
const anything = {
  resourceTypeFilter: 1,
  resourceNameFilter: null,
  patternTypeFilter: 1,
  principalFilter: null,
  hostFilter: null,
  operation: 1,
  permissionType: 1,
};
const versions = [1, 2, 3];

for (const version of versions) {
  test(`rules that are created are described by pattern, hold, and are deleted by filters (v${version})`, async () => {
    const door = await AccessDoor.open();
    const creations = [
      creation,
      { ...creation, operation: 4, permissionType: 2 },
      { ...creation, resourcePatternType: 4, resourceName: "ord", operation: 2 },
      creation,
    ];
    const created = await door.ask(createAcls, { creations }, { version });
    assert.deepEqual(
      created.results.map(({ errorCode }) => errorCode),
      [0, 0, 0, 0],
    );
    assert.equal(door.access.allows("User:alice", "h", "read", "topic", "orders"), true);
    assert.equal(door.access.allows("User:alice", "h", "write", "topic", "orders"), false);
    assert.equal(door.access.allows("User:alice", "h", "write", "topic", "order"), true);
    const described = await door.ask(describeAcls, anything, { version });
    assert.deepEqual(described.resources, [
      {
        resourceType: 2,
        resourceName: "orders",
        patternType: 3,
        acls: [
          { principal: "User:alice", host: "*", operation: 3, permissionType: 3 },
          { principal: "User:alice", host: "*", operation: 4, permissionType: 2 },
        ],
      },
      {
        resourceType: 2,
        resourceName: "ord",
        patternType: 4,
        acls: [{ principal: "User:alice", host: "*", operation: 2, permissionType: 3 }],
      },
    ]);
    const match = { ...anything, resourceTypeFilter: 2, resourceNameFilter: "orders", patternTypeFilter: 2 };
    const filters = [
      { ...match, operation: 4 },
      { ...match, principalFilter: "User:bob" },
      { ...anything, operation: 99 },
    ];
    const deleted = await door.ask(deleteAcls, { filters }, { version });
    assert.deepEqual(
      deleted.filterResults.map(({ errorCode, errorMessage, matchingAcls }) => [
        errorCode,
        errorMessage,
        matchingAcls.map(({ operation }) => operation),
      ]),
      [
        [0, null, [4]],
        [0, null, []],
        [kafkaErrors.INVALID_REQUEST, "Unknown entryFilter.", []],
      ],
    );
    assert.equal(door.access.size, 2);
    await door.ask(deleteAcls, { filters: [anything] }, { version });
    assert.equal(door.access.size, 0);
  });
}

test("a creation that is wrong is answered in Kafka's words, and does not keep the others from being made", async () => {
  const door = await AccessDoor.open();
  const wrong: [Partial<typeof creation>, string][] = [
    [{ resourceType: 1 }, "Invalid resourceType ANY"],
    [{ resourceType: 0 }, "Invalid resourceType UNKNOWN"],
    [{ resourceType: 77 }, "Invalid resourceType UNKNOWN"],
    [{ resourceType: -1 }, "Invalid resourceType UNKNOWN"],
    [{ resourcePatternType: 1 }, "Invalid patternType ANY"],
    [{ resourcePatternType: 2 }, "Invalid patternType MATCH"],
    [{ operation: 1 }, "Invalid operation ANY"],
    [{ operation: 100 }, "Invalid operation UNKNOWN"],
    [{ permissionType: 1 }, "Invalid permissionType ANY"],
    [{ resourceName: "" }, "Invalid empty resource name"],
    [{ resourceType: 4 }, "The only valid name for the CLUSTER resource is kafka-cluster"],
    [
      { principal: "alice" },
      "Could not parse principal from `alice` (no colon is present separating the principal type from the principal name)",
    ],
  ];
  const creations = [creation, ...wrong.map(([change]) => ({ ...creation, ...change }))];
  const { results } = await door.ask(createAcls, { creations });
  assert.deepEqual(results[0], { errorCode: 0, errorMessage: null });
  assert.deepEqual(
    results.slice(1),
    wrong.map(([, errorMessage]) => ({ errorCode: kafkaErrors.INVALID_REQUEST, errorMessage })),
  );
  assert.equal(door.access.size, 1);
});

test("every kind, form and verb of Kafka comes back as it was given", async () => {
  const door = await AccessDoor.open();
  const creations = [2, 3, 4, 5, 6, 7].flatMap((resourceType) =>
    Array.from({ length: 14 }, (_, i) => ({
      ...creation,
      resourceType,
      resourceName: resourceType === 4 ? "kafka-cluster" : "x",
      operation: i + 2,
    })),
  );
  await door.ask(createAcls, { creations });
  const { resources } = await door.ask(describeAcls, anything);
  const described = resources.flatMap(({ acls, resourceType }) =>
    acls.map(({ operation }) => [resourceType, operation]),
  );
  assert.deepEqual(described.sort(), creations.map(({ resourceType, operation }) => [resourceType, operation]).sort());
});

test("who may not alter or describe the cluster is told so for every item", async () => {
  const door = await AccessDoor.open();
  const options = { principal: "User:alice" };
  const denied = kafkaErrors.CLUSTER_AUTHORIZATION_FAILED;
  assert.equal((await door.ask(describeAcls, anything, options)).errorCode, denied);
  const created = await door.ask(createAcls, { creations: [creation, creation] }, options);
  assert.deepEqual(
    created.results.map(({ errorCode }) => errorCode),
    [denied, denied],
  );
  assert.equal((await door.ask(deleteAcls, { filters: [anything] }, options)).filterResults[0]?.errorCode, denied);
  assert.equal(door.access.size, 0);
});

test("without authorization there are no rules to ask for", async () => {
  const door = await AccessDoor.open({ authorization: false });
  const disabled = kafkaErrors.SECURITY_DISABLED;
  const described = await door.ask(describeAcls, anything);
  assert.deepEqual(
    [described.errorCode, described.errorMessage],
    [disabled, "No Authorizer is configured on the broker"],
  );
  const created = await door.ask(createAcls, { creations: [creation] });
  assert.deepEqual(created.results, [{ errorCode: disabled, errorMessage: "No Authorizer is configured." }]);
  assert.equal((await door.ask(deleteAcls, { filters: [anything] })).filterResults[0]?.errorCode, disabled);
});

test("unknown filters of a description are refused", async () => {
  const door = await AccessDoor.open();
  for (const change of [{ resourceTypeFilter: 0 }, { patternTypeFilter: 9 }, { operation: 0 }, { permissionType: 4 }]) {
    const { errorCode } = await door.ask(describeAcls, { ...anything, ...change });
    assert.equal(errorCode, kafkaErrors.INVALID_REQUEST);
  }
});
