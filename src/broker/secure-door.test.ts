import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { ensureUser } from "../access/ensure-user.ts";
import { ScramClient } from "../access/scram-client.fixture.ts";
import { seededRandom } from "../base/random.ts";
import { apiVersions } from "../kafka/apis/api-versions.ts";
import { fetch } from "../kafka/apis/fetch.ts";
import { metadata } from "../kafka/apis/metadata.ts";
import { produce } from "../kafka/apis/produce.ts";
import { saslAuthenticate } from "../kafka/apis/sasl-authenticate.ts";
import { saslHandshake } from "../kafka/apis/sasl-handshake.ts";
import { zeroUuid } from "../kafka/fields.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import { authority, clientCertificate, clientKey, serverCertificate, serverKey } from "./certificates.fixture.ts";
import { batchOf, type DoorClient, type OpenDoor, openDoor } from "./door.fixture.ts";
import type { Listener, SecurityProtocol } from "./door-settings.ts";

const tls = { cert: serverCertificate, key: serverKey, ca: authority };
const trust = { ca: authority, host: "127.0.0.1" };
const alice = { user: "alice", password: "wonderland" };

function listenerOf(protocol: SecurityProtocol): Listener {
  return { name: "PLAINTEXT", protocol, host: "127.0.0.1", port: 0, advertised: { host: null, port: null } };
}

async function openWithSasl(authorization = false): Promise<OpenDoor> {
  const mechanisms = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"];
  const listeners = [listenerOf("SASL_PLAINTEXT")];
  const open = await openDoor({ failedAuthenticationDelayMs: 1 }, { listeners }, { mechanisms, authorization });
  await ensureUser(open.security.credentials, seededRandom(5), alice);
  return open;
}

async function logIn(client: DoorClient, password: string): Promise<number> {
  const { errorCode } = await client.ask(saslHandshake, 1, { mechanism: "SCRAM-SHA-256" });
  assert.equal(errorCode, 0);
  const scram = new ScramClient("SCRAM-SHA-256", alice.user, password);
  const first = await client.ask(saslAuthenticate, 2, { authBytes: scram.first() });
  if (first.errorCode !== 0) return first.errorCode;
  const last = await client.ask(saslAuthenticate, 2, { authBytes: scram.final(first.authBytes) });
  return last.errorCode;
}

describe("a listener with SASL", () => {
  test("answers ApiVersions to anybody, and closes on who asks for more without saying who it is", async () => {
    await using open = await openWithSasl();
    const client = await open.client();
    const named = { clientSoftwareName: "test", clientSoftwareVersion: "1" };
    assert.equal((await client.ask(apiVersions, 3, named)).errorCode, 0);
    client.send(metadata, 9, { topics: null });
    await client.closed;
    assert.match(open.said.join(), /Metadata before it has authenticated/);
  });

  test("lets a user in who knows the password", async () => {
    await using open = await openWithSasl();
    const client = await open.client();
    assert.equal(await logIn(client, alice.password), 0);
    const { topics } = await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    assert.equal(topics[0]?.errorCode, 0);
  });

  test("tells a wrong password after a pause, and closes", async () => {
    await using open = await openWithSasl();
    const client = await open.client();
    assert.equal(await logIn(client, "looking-glass"), kafkaErrors.SASL_AUTHENTICATION_FAILED);
    await client.closed;
    assert.equal(open.door.connectionCount, 0);
  });

  test("closes on who takes too long about it", async () => {
    const listeners = [listenerOf("SASL_PLAINTEXT")];
    await using open = await openDoor({ authenticationMs: 30 }, { listeners }, { mechanisms: ["PLAIN"] });
    const client = await open.client();
    await client.closed;
    assert.match(open.said.join(), /has not authenticated within/);
  });

  test("takes no large frames from strangers", async () => {
    await using open = await openWithSasl();
    const client = await open.client();
    client.sendBytes(Buffer.concat([Buffer.from([0x00, 0x10, 0x00, 0x00]), Buffer.alloc(0x100000)]));
    await client.closed;
    assert.match(open.said.join(), /before it has authenticated/);
  });

  test("what nobody was allowed is refused, and what was allowed is not", async () => {
    await using open = await openWithSasl(true);
    await open.engine.createTopic("orders");
    const client = await open.client();
    assert.equal(await logIn(client, alice.password), 0);
    const hidden = await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    assert.equal(hidden.topics[0]?.errorCode, kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
    assert.deepEqual((await client.ask(metadata, 9, { topics: null })).topics, [], "nor listed");
    assert.equal(await produceError(client), kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
    const noun = { kind: "topic", name: "ord", pattern: "prefixed", host: "*" } as const;
    await open.security.access.add([
      { ...noun, principal: "User:alice", verb: "write", effect: "allow" },
      { ...noun, principal: "User:alice", verb: "read", effect: "allow" },
    ]);
    assert.equal(await produceError(client), 0, "the rule holds for open connections");
    assert.equal(await fetchError(client), 0);
    await open.security.access.add([
      { ...noun, principal: "User:alice", host: "127.0.0.1", verb: "read", effect: "deny" },
    ]);
    assert.equal(await fetchError(client), kafkaErrors.TOPIC_AUTHORIZATION_FAILED, "a denial wins");
  });

  test("a client beyond its quota is told how long to wait, and is left alone for so long", async () => {
    await using open = await openWithSasl();
    await open.security.quotaTable.change([{ entity: { user: "alice" }, values: { producer_byte_rate: 1_000 } }]);
    const client = await open.client();
    assert.equal(await logIn(client, alice.password), 0);
    await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    const topicData = [{ name: "orders", partitionData: [{ index: 0, records: batchOf("x".repeat(11_000)) }] }];
    const { throttleTimeMs } = await client.ask(produce, 9, { acks: -1, timeoutMs: 1000, topicData });
    assert.ok(throttleTimeMs > 0, `${throttleTimeMs} ms`);
  });
});

describe("a listener with TLS", () => {
  test("speaks the protocol inside of TLS, and sends away who does not speak TLS", async () => {
    await using open = await openDoor({}, { listeners: [listenerOf("SSL")], tls });
    const client = await open.client(trust);
    const { topics } = await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    assert.equal(topics[0]?.errorCode, 0);
    const plain = await open.client();
    plain.send(metadata, 9, { topics: null });
    await plain.closed;
    assert.match(open.said.join(), /it does not speak TLS, and this listener does/);
  });

  test("takes who shows a certificate for its owner", async () => {
    const settings = { listeners: [listenerOf("SSL")], tls: { ...tls, requestCert: true, rejectUnauthorized: true } };
    const rule = "RULE:^CN=([^,]+),.*$/$1/U";
    const security = { authorization: true, principalRules: rule, superUsers: ["User:ALICE"] };
    await using open = await openDoor({}, settings, security);
    const client = await open.client({ ...trust, cert: clientCertificate, key: clientKey });
    const { topics } = await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    assert.equal(topics[0]?.errorCode, 0, "the super user of the rule");
    const stranger = await open.client(trust);
    await stranger.closed;
    assert.match(open.said.join(), /TLS could not be agreed on: .*certificate/);
  });

  test("a client is told the name that it has connected to, since the certificate is for that", async () => {
    const listener = { ...listenerOf("SSL"), host: "0.0.0.0" };
    await using open = await openDoor({}, { listeners: [listener], tls });
    const byName = await open.client({ ...trust, servername: "localhost" });
    assert.equal((await byName.ask(metadata, 9, { topics: [] })).brokers[0]?.host, "localhost");
    const byAddress = await open.client(trust);
    assert.equal((await byAddress.ask(metadata, 9, { topics: [] })).brokers[0]?.host, "127.0.0.1");
  });

  test("knows the owner of a certificate again when a session of TLS is resumed", async () => {
    const settings = { listeners: [listenerOf("SSL")], tls: { ...tls, requestCert: true, rejectUnauthorized: true } };
    const rule = "RULE:^CN=([^,]+),.*$/$1/,RULE:^$/anonymous/";
    const security = { authorization: true, principalRules: rule, superUsers: ["User:alice"] };
    await using open = await openDoor({}, settings, security);
    const shown = { ...trust, cert: clientCertificate, key: clientKey };
    const client = await open.client(shown);
    const session = new Promise<Buffer>((resolve) => client.socket.once("session", resolve));
    await client.ask(metadata, 9, { topics: [{ name: "orders" }] });
    const again = await open.client({ ...trust, session: await session });
    assert.equal((again.socket as TLSSocket).isSessionReused(), true);
    const { topics } = await again.ask(metadata, 9, { topics: [{ name: "orders" }] });
    assert.equal(topics[0]?.errorCode, 0);
  });

  test("a certificate need not be shown where it is only requested, but one that is not trusted is refused", async () => {
    const stranger = { ...tls, ca: serverCertificate, requestCert: true, rejectUnauthorized: false };
    await using open = await openDoor({}, { listeners: [listenerOf("SSL")], tls: stranger });
    const nobody = await open.client(trust);
    assert.equal((await nobody.ask(metadata, 9, { topics: [] })).brokers.length, 1);
    const client = await open.client({ ...trust, cert: clientCertificate, key: clientKey });
    await client.closed;
    assert.match(open.said.join(), /its certificate is not trusted: /);
  });

  test("asks for no certificate where SASL says who a client is", async () => {
    const required = { ...tls, requestCert: true, rejectUnauthorized: true };
    const settings = { listeners: [listenerOf("SASL_SSL")], tls: required };
    await using open = await openDoor({}, settings, { mechanisms: ["SCRAM-SHA-256"] });
    await ensureUser(open.security.credentials, seededRandom(5), alice);
    const client = await open.client(trust);
    assert.equal(await logIn(client, alice.password), 0);
  });

  test("a SASL listener without a mechanism is not opened", async () => {
    await assert.rejects(openDoor({}, { listeners: [listenerOf("SASL_PLAINTEXT")] }), { code: "SETTING_INVALID" });
  });

  test("does not let a certificate in that no rule names", async () => {
    const settings = { listeners: [listenerOf("SSL")], tls: { ...tls, requestCert: true, rejectUnauthorized: true } };
    await using open = await openDoor({}, settings, { principalRules: "RULE:^CN=nobody$/x/" });
    const client = await open.client({ ...trust, cert: clientCertificate, key: clientKey });
    await client.closed;
    assert.match(open.said.join(), /no rule names the owner/);
  });
});

async function produceError(client: DoorClient): Promise<number | undefined> {
  const topicData = [{ name: "orders", partitionData: [{ index: 0, records: batchOf("x") }] }];
  const { responses } = await client.ask(produce, 9, { acks: -1, timeoutMs: 1000, topicData });
  return responses[0]?.partitionResponses[0]?.errorCode;
}

async function fetchError(client: DoorClient): Promise<number | undefined> {
  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }];
  const topics = [{ topic: "orders", topicId: zeroUuid, partitions }];
  const { responses } = await client.ask(fetch, 12, { maxWaitMs: 0, minBytes: 1, maxBytes: 1000, topics });
  return responses[0]?.partitions[0]?.errorCode;
}
