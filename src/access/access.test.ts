import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { CatalogueTopic } from "../catalog/catalogue-topic.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import { Access } from "./access.ts";
import type { AccessFilter } from "./access-filter.ts";
import type { AccessRule } from "./access-rules.ts";
import { MemoryCatalogue } from "./catalogue.fixture.ts";
import { QuotaTable } from "./quota-table.ts";
import { credentialFor } from "./scram-client.fixture.ts";
import { ScramCredentials } from "./scram-credentials.ts";

const enforced = { authorization: true, superUsers: ["User:root"] };
const readOrders: AccessRule = {
  kind: "topic",
  pattern: "literal",
  name: "orders",
  principal: "User:alice",
  host: "*",
  verb: "read",
  effect: "allow",
};
const all: AccessFilter = {
  kind: null,
  pattern: null,
  name: null,
  principal: null,
  host: null,
  verb: null,
  effect: null,
};

test("nothing is refused until the operator turns authorization on", () => {
  const access = new Access(new MemoryCatalogue());
  assert.equal(access.isEnforced, false);
  assert.equal(access.allows("User:ANONYMOUS", "h", "delete", "topic", "orders"), true);
  assert.equal(access.allowsAny("User:ANONYMOUS", "h", "write", "topic"), true);
  assert.equal(access.caller("User:x", "h").allows("all", "cluster", "kafka-cluster"), true);
});

test("the catalogue's own topic is sealed to everybody, with authorization and without", async () => {
  for (const settings of [{}, enforced]) {
    const access = new Access(new MemoryCatalogue(), settings);
    if (settings === enforced) await access.add([{ ...readOrders, name: "*", principal: "User:*", verb: "all" }]);
    for (const principal of ["User:root", "User:alice"]) {
      for (const verb of ["read", "write", "describe", "delete", "describe-configs"] as const) {
        assert.equal(access.allows(principal, "h", verb, "topic", "_millrace.catalog"), false);
        assert.equal(access.caller(principal, "h").allows(verb, "topic", "_millrace.catalog"), false);
      }
      assert.equal(access.caller(principal, "h").allows("read", "topic", "_millrace.progress"), true);
    }
  }
});

test("a caller forgets what it knew when a rule comes or goes", async () => {
  const access = new Access(new MemoryCatalogue(), enforced);
  const alice = access.caller("User:alice", "h");
  assert.equal(alice.allows("read", "topic", "orders"), false);
  await access.add([readOrders]);
  assert.equal(alice.allows("read", "topic", "orders"), true);
  assert.equal(alice.allows("describe", "topic", "orders"), true);
  assert.equal(alice.allows("write", "topic", "orders"), false);
  assert.equal(alice.allowsAny("read", "topic"), true);
  await access.remove([readOrders]);
  assert.equal(alice.allows("read", "topic", "orders"), false);
  assert.equal(access.caller("User:root", "h").allows("delete", "topic", "orders"), true);
});

test("a caller that asks for more nouns than it remembers is answered rightly still", async () => {
  const access = new Access(new MemoryCatalogue(), enforced);
  await access.add([{ ...readOrders, pattern: "prefixed", name: "even" }]);
  const alice = access.caller("User:alice", "h");
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 1_000; i++) {
      const name = `${i % 2 === 0 ? "even" : "odd"}${i}`;
      assert.equal(alice.allows("read", "topic", name), i % 2 === 0);
      assert.equal(alice.allows("write", "topic", name), false);
    }
  }
});

test("a rule that is added twice is one, and there are no more than the bound", async () => {
  const access = new Access(new MemoryCatalogue(), { ...enforced, rulesMax: 2 });
  await access.add([readOrders, { ...readOrders }]);
  await access.add([readOrders]);
  assert.equal(access.find(all).length, 1);
  const more = [1, 2].map((i) => ({ ...readOrders, name: `t${i}` }));
  await assert.rejects(access.add(more), (error) => MillraceError.is(error, "REQUEST_INVALID"));
  assert.equal(access.size, 1);
});

test("rules, credentials and quotas are there after a restart, and removed ones are not", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const open = async (disk: SimulatedDisk, seed: number) => {
    const engine = await openEmbeddedEngine({
      disk,
      directory: "/data/log",
      clock,
      random: seededRandom(seed),
      diagnostics: silentDiagnostics,
    });
    const catalogue = await CatalogueTopic.open({ engine, clock });
    const credentials = await ScramCredentials.open(catalogue, seededRandom(seed));
    return { catalogue, credentials, access: new Access(catalogue, enforced), quotas: new QuotaTable(catalogue) };
  };
  const before = await open(disk, 1);
  const credential = credentialFor("SCRAM-SHA-256", "secret");
  await before.access.add([readOrders, { ...readOrders, name: "gone" }]);
  await before.access.remove([{ ...readOrders, name: "gone" }]);
  await before.credentials.change([
    { user: "alice", mechanism: "SCRAM-SHA-256", credential },
    { user: "a/b", mechanism: "SCRAM-SHA-512", credential },
  ]);
  await before.credentials.change([{ user: "a/b", mechanism: "SCRAM-SHA-512", credential: null }]);
  await before.quotas.change([{ entity: { user: null, clientId: "c" }, values: { producer_byte_rate: 10 } }]);
  const invented = before.credentials.findOrInvent("nobody", "SCRAM-SHA-256");
  const after = await open(disk.survivor(), 2);
  assert.deepEqual(after.access.find(all), [readOrders]);
  assert.deepEqual(after.credentials.find("alice", "SCRAM-SHA-256"), credential);
  assert.deepEqual(after.credentials.users(), ["alice"]);
  assert.deepEqual(
    [...after.quotas.entries()],
    [{ entity: { user: null, clientId: "c" }, values: { producer_byte_rate: 10 } }],
  );
  assert.deepEqual(after.credentials.findOrInvent("nobody", "SCRAM-SHA-256"), invented);
  assert.ok(!JSON.stringify([...after.catalogue.list("scram-credential")]).includes("secret"));
  await after.catalogue.close();
});

test("foreign entries of the catalogue are no rules", async () => {
  const catalogue = new MemoryCatalogue();
  const access = new Access(catalogue, enforced);
  await catalogue.put("access-rule", "nonsense", true);
  await catalogue.put("access-rule", '["topic","literal","a","b","c","fly","allow"]', true);
  assert.equal(access.size, 0);
});
