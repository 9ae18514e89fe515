import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryCatalogue } from "../../access/catalogue.fixture.ts";
import { JsonWebKeys } from "../../access/json-web-keys.ts";
import { defaultTokenRules } from "../../access/json-web-token.ts";
import { PasswordWork } from "../../access/password-work.ts";
import { SaslMechanisms } from "../../access/sasl-mechanisms.ts";
import { credentialFor, ScramClient } from "../../access/scram-client.fixture.ts";
import { ScramCredentials } from "../../access/scram-credentials.ts";
import { MillraceError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { apiVersions } from "../../kafka/apis/api-versions.ts";
import { metadata } from "../../kafka/apis/metadata.ts";
import { saslAuthenticate } from "../../kafka/apis/sasl-authenticate.ts";
import { saslHandshake } from "../../kafka/apis/sasl-handshake.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { AccessDoor } from "./access-answers.fixture.ts";
import { createSaslSession, lifetimeOf, type SaslSession } from "./sasl.ts";

const { NONE, ILLEGAL_SASL_STATE, SASL_AUTHENTICATION_FAILED, UNSUPPORTED_SASL_MECHANISM } = kafkaErrors;
const all = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

async function mechanismsOf(clock: VirtualClock, names: readonly string[] = all): Promise<SaslMechanisms> {
  const credentials = await ScramCredentials.open(new MemoryCatalogue(), seededRandom(1));
  await credentials.change([
    { user: "alice", mechanism: "SCRAM-SHA-256", credential: credentialFor("SCRAM-SHA-256", "secret") },
    { user: "bob", mechanism: "SCRAM-SHA-256", credential: credentialFor("SCRAM-SHA-256", "secret") },
  ]);
  const keys = new JsonWebKeys({ clock, load: () => Promise.reject(new Error("none")) });
  const tokens = { ...defaultTokenRules, keys };
  return new SaslMechanisms(names, { credentials, work: new PasswordWork(), random: seededRandom(2), clock, tokens });
}

async function sessionOf(options: { names?: readonly string[]; reauthenticateMs?: number } = {}) {
  const clock = new VirtualClock();
  const mechanisms = await mechanismsOf(clock, options.names);
  const session = createSaslSession({ mechanisms, clock, reauthenticateMs: options.reauthenticateMs ?? 0 });
  return { clock, session };
}

const plain = (text: string) => Buffer.from(text.replaceAll("|", "\0"));

async function login(session: SaslSession, user = "alice"): Promise<number> {
  assert.equal(session.handshake("PLAIN", 1).errorCode, NONE);
  return (await session.authenticate(plain(`|${user}|secret`))).errorCode;
}

test("before a mechanism is through nobody is known, and only what leads there may be asked", async () => {
  const { session } = await sessionOf();
  assert.equal(session.principal, null);
  assert.deepEqual(
    [apiVersions, saslHandshake, saslAuthenticate, metadata].map(({ key }) => session.mayAsk(key)),
    [true, true, true, false],
  );
  assert.equal(await login(session), NONE);
  assert.equal(session.principal, "User:alice");
  assert.equal(session.mayAsk(metadata.key), true);
});

test("SCRAM goes through requests, and the last answer says for how long", async () => {
  const { session } = await sessionOf({ reauthenticateMs: 60_000 });
  const client = new ScramClient("SCRAM-SHA-256", "alice", "secret");
  assert.deepEqual(session.handshake("SCRAM-SHA-256", 1), { errorCode: NONE, mechanisms: all, isRefused: false });
  const first = await session.authenticate(client.first());
  assert.deepEqual([first.errorCode, first.sessionLifetimeMs, session.principal], [NONE, 0, null]);
  const last = await session.authenticate(client.final(first.authBytes));
  assert.deepEqual([last.errorCode, last.sessionLifetimeMs], [NONE, 60_000]);
  assert.equal(last.authBytes.toString(), client.serverFinal);
});

test("after a handshake of version 0 tokens are frames of their own, and requests again when it is through", async () => {
  const { session } = await sessionOf();
  const client = new ScramClient("SCRAM-SHA-256", "alice", "secret");
  session.handshake("SCRAM-SHA-256", 0);
  assert.equal(session.takesRawFrames, true);
  const first = await session.authenticateRaw(client.first());
  assert.deepEqual([first.isRefused, session.takesRawFrames], [false, true]);
  const last = await session.authenticateRaw(client.final(first.response));
  assert.equal(last.response.toString(), client.serverFinal);
  assert.deepEqual([last.isRefused, session.takesRawFrames, session.principal], [false, false, "User:alice"]);
});

test("a mechanism that is not offered is refused with those that are", async () => {
  const { session } = await sessionOf({ names: ["SCRAM-SHA-512", "PLAIN"] });
  assert.deepEqual(session.handshake("GSSAPI", 1), {
    errorCode: UNSUPPORTED_SASL_MECHANISM,
    mechanisms: ["SCRAM-SHA-512", "PLAIN"],
    isRefused: true,
  });
  assert.equal((await session.authenticate(plain("|alice|secret"))).isRefused, true);
  assert.equal(session.principal, null);
});

test("a failure is the last of its connection, and says nothing about who is there", async () => {
  const messages = new Set<string | null>();
  for (const user of ["alice", "nobody"]) {
    const { session } = await sessionOf();
    const client = new ScramClient("SCRAM-SHA-256", user, "wrong");
    session.handshake("SCRAM-SHA-256", 1);
    const first = await session.authenticate(client.first());
    const last = await session.authenticate(client.final(first.authBytes));
    assert.deepEqual([last.errorCode, last.isRefused], [SASL_AUTHENTICATION_FAILED, true]);
    messages.add(last.errorMessage);
    assert.equal(session.handshake("PLAIN", 1).isRefused, true);
    assert.equal((await session.authenticate(plain("|alice|secret"))).isRefused, true);
    assert.equal(session.principal, null);
    assert.equal(session.mayAsk(apiVersions.key), false);
  }
  assert.deepEqual(
    [...messages],
    ["Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256"],
  );
});

test("PLAIN is refused in Kafka's words", async () => {
  const { session } = await sessionOf();
  session.handshake("PLAIN", 1);
  const { errorMessage } = await session.authenticate(plain("|alice|wrong"));
  assert.equal(errorMessage, "Authentication failed: Invalid username or password");
});

test("tokens out of place are refused: without a handshake, two at once, and a handshake in between", async () => {
  const first = (await sessionOf()).session;
  const early = await first.authenticate(plain("|alice|secret"));
  assert.deepEqual([early.errorCode, early.isRefused], [ILLEGAL_SASL_STATE, true]);
  const second = (await sessionOf()).session;
  second.handshake("PLAIN", 1);
  const both = await Promise.all([1, 2].map(() => second.authenticate(plain("|alice|secret"))));
  assert.deepEqual(
    both.map(({ isRefused }) => isRefused),
    [true, true],
  );
  assert.equal(second.principal, null);
  const third = (await sessionOf()).session;
  third.handshake("PLAIN", 1);
  const pending = third.authenticate(plain("|alice|secret"));
  assert.equal(third.handshake("PLAIN", 1).isRefused, true);
  assert.equal((await pending).isRefused, true);
  assert.equal(third.principal, null);
});

test("a session that is over takes nothing but a new authentication, which makes it longer", async () => {
  const { clock, session } = await sessionOf({ reauthenticateMs: 5_000 });
  await login(session);
  await clock.advance(4_999);
  assert.equal(session.mayAsk(metadata.key), true);
  await clock.advance(1);
  assert.deepEqual(
    [metadata, saslHandshake, saslAuthenticate].map(({ key }) => session.mayAsk(key)),
    [false, true, true],
  );
  assert.equal(await login(session), NONE);
  assert.equal(session.mayAsk(metadata.key), true);
});

test("authenticating again is by the same mechanism and as the same principal", async () => {
  const { session } = await sessionOf();
  await login(session);
  assert.equal(session.handshake("SCRAM-SHA-256", 1).errorCode, NONE);
  const other = await session.authenticate(Buffer.from("n,,n=alice,r=x"));
  assert.deepEqual([other.errorCode, other.isRefused], [SASL_AUTHENTICATION_FAILED, true]);
  assert.match(other.errorMessage ?? "", /'SCRAM-SHA-256' requested by client is not supported for re-authentication/);
  const again = await sessionOf();
  await login(again.session);
  assert.equal(again.session.handshake("PLAIN", 1).errorCode, NONE);
  const changed = await again.session.authenticate(plain("|bob|secret"));
  assert.equal(changed.errorMessage, "Cannot change principals during re-authentication from User.alice: User.bob");
  assert.deepEqual([changed.isRefused, again.session.mayAsk(metadata.key)], [true, false]);
});

test("authenticating again within a second of the last time is out of place, and harms nothing", async () => {
  const { clock, session } = await sessionOf();
  await login(session);
  assert.equal(await login(session), NONE);
  assert.deepEqual(session.handshake("PLAIN", 1), { errorCode: ILLEGAL_SASL_STATE, mechanisms: [], isRefused: false });
  const late = await session.authenticate(plain("|alice|secret"));
  assert.deepEqual([late.errorCode, late.isRefused], [ILLEGAL_SASL_STATE, false]);
  assert.equal(session.principal, "User:alice");
  await clock.advance(1_000);
  assert.equal(await login(session), NONE);
});

test("a session ends with the credential or with the operator's time, whichever is first", () => {
  assert.equal(lifetimeOf(null, 0), null);
  assert.equal(lifetimeOf(null, 10), 10);
  assert.equal(lifetimeOf(5.9, 0), 5);
  assert.equal(lifetimeOf(5, 10), 5);
  assert.equal(lifetimeOf(20, 10), 10);
  assert.equal(lifetimeOf(-1, 10), 0);
});

test("the answers go over the wire in every version, and say when the connection is to be closed", async () => {
  for (const version of [0, 1, 2]) {
    const door = await AccessDoor.open();
    const { session } = await sessionOf({ reauthenticateMs: 1_000 });
    const shaken = await door.ask(saslHandshake, { mechanism: "PLAIN" }, { session });
    assert.deepEqual(shaken, { errorCode: NONE, mechanisms: all });
    const done = await door.ask(saslAuthenticate, { authBytes: plain("|alice|secret") }, { session, version });
    assert.deepEqual([done.errorCode, done.sessionLifetimeMs, door.closed], [NONE, version === 0 ? 0 : 1_000, 0]);
    const refused = (await sessionOf()).session;
    await door.ask(saslHandshake, { mechanism: "PLAIN" }, { session: refused });
    await door.ask(saslAuthenticate, { authBytes: plain("|alice|wrong") }, { session: refused, version });
    assert.equal(door.closed, 1);
  }
});

test("on a listener without SASL both requests are out of place", async () => {
  const door = await AccessDoor.open();
  assert.deepEqual(await door.ask(saslHandshake, { mechanism: "PLAIN" }), {
    errorCode: ILLEGAL_SASL_STATE,
    mechanisms: [],
  });
  const { errorCode, errorMessage } = await door.ask(saslAuthenticate, { authBytes: Buffer.alloc(0) });
  assert.deepEqual(
    [errorCode, errorMessage],
    [ILLEGAL_SASL_STATE, "SaslAuthenticate request received after successful authentication"],
  );
  assert.equal(door.closed, 0);
});

test("mechanisms that are not known, or lack what they need, are refused when the door is made", async () => {
  const clock = new VirtualClock();
  for (const names of [[], ["GSSAPI"], ["plain"]]) {
    await assert.rejects(mechanismsOf(clock, names), (error) => MillraceError.is(error, "SETTING_INVALID"));
  }
});

test("hostile bytes never throw, and never let anybody in", async () => {
  const random = seededRandom(3);
  const clock = new VirtualClock();
  const mechanisms = await mechanismsOf(clock);
  const seeds = [
    "n,,n=alice,r=abc",
    "|alice|secre",
    "n,,\u0001auth=Bearer a.b.c\u0001\u0001",
    "c=biws,r=abc,p=AAAA",
    "",
    "\u0001",
  ];
  for (let run = 0; run < 3_000; run++) {
    const session = createSaslSession({ mechanisms, clock, reauthenticateMs: 0 });
    const mechanism = all[random.below(all.length)] as string;
    session.handshake(mechanism, random.below(2));
    for (let step = 0; step < 3; step++) {
      const token = plain(seeds[random.below(seeds.length)] as string);
      for (let i = random.below(4); i > 0 && token.length > 0; i--)
        token[random.below(token.length)] = random.below(256);
      const bytes = random.below(4) === 0 ? random.bytes(random.below(200)) : token;
      const { errorCode, authBytes } = await session.authenticate(bytes);
      assert.equal(session.principal, null);
      assert.ok(errorCode !== NONE || authBytes.length > 0, mechanism);
    }
  }
});
