import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { MemoryCatalogue } from "./catalogue.fixture.ts";
import { PasswordWork } from "./password-work.ts";
import { PlainExchange } from "./plain-exchange.ts";
import { credentialFor, ScramClient } from "./scram-client.fixture.ts";
import { ScramCredentials } from "./scram-credentials.ts";
import { ScramExchange } from "./scram-exchange.ts";
import { credentialOf, provesPassword, type ScramMechanism, saltPassword, serverSignature } from "./scram-keys.ts";
import { readClientFinal, readClientFirst, serverFirst } from "./scram-messages.ts";

async function credentialsOf(...users: [string, string, ScramMechanism][]): Promise<ScramCredentials> {
  const credentials = await ScramCredentials.open(new MemoryCatalogue(), seededRandom(1));
  await credentials.change(
    users.map(([user, password, mechanism]) => ({ user, mechanism, credential: credentialFor(mechanism, password) })),
  );
  return credentials;
}

const begin = (credentials: ScramCredentials, mechanism: ScramMechanism = "SCRAM-SHA-256") =>
  new ScramExchange(mechanism, credentials, seededRandom(7));

test("the exchange of RFC 7677 is proved on both sides", async () => {
  const first = readClientFirst(Buffer.from("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
  assert.ok(first);
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  const asked = serverFirst(nonce, salt, 4096);
  assert.equal(asked, `r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`);
  const final = readClientFinal(Buffer.from(`c=biws,r=${nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`));
  assert.ok(final);
  assert.deepEqual([final.header, final.nonce], ["n,,", nonce]);
  const credential = credentialOf(
    "SCRAM-SHA-256",
    await saltPassword("SCRAM-SHA-256", "pencil", salt, 4096),
    salt,
    4096,
  );
  const exchanged = `${first.bare},${asked},${final.withoutProof}`;
  assert.equal(provesPassword("SCRAM-SHA-256", credential, exchanged, final.proof), true);
  assert.equal(
    serverSignature("SCRAM-SHA-256", credential, exchanged).toString("base64"),
    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
  );
  assert.equal(provesPassword("SCRAM-SHA-256", credential, `${exchanged} `, final.proof), false);
});

for (const mechanism of ["SCRAM-SHA-256", "SCRAM-SHA-512"] as const) {
  test(`${mechanism}: who has the password is let in, and learns that the server has the credential`, async () => {
    const exchange = begin(await credentialsOf(["al=i,ce", "secret", mechanism]), mechanism);
    const client = new ScramClient(mechanism, "al=i,ce", "secret");
    const asked = await exchange.step(client.first());
    assert.equal(asked.outcome, "challenge");
    const done = await exchange.step(client.final(asked.token));
    assert.equal(done.outcome, "done");
    assert.deepEqual([done.principal, done.expiresAtMs], ["User:al=i,ce", null]);
    assert.equal(done.token.toString(), client.serverFinal);
    assert.equal((await exchange.step(client.first())).outcome, "failed");
  });
}

test("a wrong password, a user that is not there and one of another mechanism fail in the same way", async () => {
  const credentials = await credentialsOf(["alice", "secret", "SCRAM-SHA-256"], ["bob", "x", "SCRAM-SHA-512"]);
  for (const [user, password] of [
    ["alice", "wrong"],
    ["nobody", "secret"],
    ["bob", "x"],
  ] as const) {
    const exchange = begin(credentials);
    const client = new ScramClient("SCRAM-SHA-256", user, password);
    const asked = await exchange.step(client.first());
    assert.equal(asked.outcome, "challenge");
    assert.match(asked.token.toString(), /^r=rOprNGfwEbeRWgbNEkqO[\w-]{32},s=[A-Za-z0-9+/]+=*,i=4096$/);
    const done = await exchange.step(client.final(asked.token));
    assert.equal(done.outcome, "failed");
    assert.equal(done.message, null);
  }
});

test("a user that is not there has the same salt whenever it is asked for, and another one than others", async () => {
  const credentials = await credentialsOf();
  const saltOf = async (user: string) => {
    const asked = await begin(credentials).step(new ScramClient("SCRAM-SHA-256", user, "x").first());
    return asked.outcome === "challenge" ? asked.token.toString().split(",")[1] : undefined;
  };
  assert.equal(await saltOf("nobody"), await saltOf("nobody"));
  assert.notEqual(await saltOf("nobody"), await saltOf("nobody2"));
  const other = await ScramCredentials.open(new MemoryCatalogue(), seededRandom(2));
  const { credential } = other.findOrInvent("nobody", "SCRAM-SHA-256");
  assert.notDeepEqual(credential, credentials.findOrInvent("nobody", "SCRAM-SHA-256").credential);
});

test("an invented credential has the iterations of those that are there", async () => {
  const credentials = await credentialsOf();
  const credential = credentialFor("SCRAM-SHA-256", "secret", 8192);
  await credentials.change([{ user: "alice", mechanism: "SCRAM-SHA-256", credential }]);
  assert.equal(credentials.findOrInvent("nobody", "SCRAM-SHA-256").credential.iterations, 8192);
});

test("a credential that is taken away during the exchange lets nobody in", async () => {
  const credentials = await credentialsOf(["alice", "secret", "SCRAM-SHA-256"]);
  const exchange = begin(credentials);
  const client = new ScramClient("SCRAM-SHA-256", "alice", "secret");
  const asked = await exchange.step(client.first());
  assert.equal(asked.outcome, "challenge");
  await credentials.change([{ user: "alice", mechanism: "SCRAM-SHA-256", credential: null }]);
  assert.equal((await exchange.step(client.final(asked.token))).outcome, "failed");
});

test("a replayed nonce, a changed header and a delegation token are refused", async () => {
  const credentials = await credentialsOf(["alice", "secret", "SCRAM-SHA-256"]);
  const finals = [
    (final: string) => final.replace("r=r", "r=x"),
    (final: string) => final.replace("c=biws", `c=${Buffer.from("y,,").toString("base64")}`),
    (final: string) => final.replace(/,p=.*/, ",p="),
    (final: string) => final.replace(/,p=.*/, ""),
  ];
  for (const change of finals) {
    const exchange = begin(credentials);
    const client = new ScramClient("SCRAM-SHA-256", "alice", "secret");
    const asked = await exchange.step(client.first());
    assert.equal(asked.outcome, "challenge");
    const done = await exchange.step(Buffer.from(change(client.final(asked.token).toString())));
    assert.equal(done.outcome, "failed", change.toString());
  }
  const token = new ScramClient("SCRAM-SHA-256", "alice", "secret", { extensions: ",tokenauth=true" });
  assert.equal((await begin(credentials).step(token.first())).outcome, "failed");
});

test("an authorization id may be given when it is the user's, and is part of what is proved", async () => {
  const credentials = await credentialsOf(["alice", "secret", "SCRAM-SHA-256"]);
  const same = new ScramClient("SCRAM-SHA-256", "alice", "secret", { header: "n,a=alice," });
  const exchange = begin(credentials);
  const asked = await exchange.step(same.first());
  assert.equal(asked.outcome, "challenge");
  assert.equal((await exchange.step(same.final(asked.token))).outcome, "done");
  const other = new ScramClient("SCRAM-SHA-256", "alice", "secret", { header: "n,a=bob," });
  const refused = await begin(credentials).step(other.first());
  assert.ok(refused.outcome === "failed" && refused.message?.includes("different from username"));
});

test("first messages that are not of the form are refused, and other extensions are read", () => {
  const forms = [
    "",
    "n",
    "n,",
    "n,,",
    "y,,n=u,r=x",
    "p=tls-unique,,n=u,r=x",
    "n,a=,n=u,r=x",
    "n,b=u,n=u,r=x",
    "n,,n=,r=x",
    "n,,n=u,r=",
    "n,,m=x,n=u,r=x",
    "n,,n=u,r=x,m=x",
    "n,,n=u=2X,r=x",
    "n,,n=u,r=x y",
    "n,,n=u,r=x,1=2",
    "n,,n=u,r=x,e=",
    "n,,r=x,n=u",
    "n,,n=u\0,r=x",
    `n,,n=${"u".repeat(5000)},r=x`,
  ];
  for (const form of forms) assert.equal(readClientFirst(Buffer.from(form)), undefined, form.slice(0, 40));
  assert.equal(readClientFirst(Buffer.from([0x6e, 0x2c, 0x2c, 0x6e, 0x3d, 0xff, 0x2c, 0x72, 0x3d, 0x78])), undefined);
  assert.equal(readClientFirst(Buffer.from("n,,n=å,r=x,ext=1"))?.user, "å");
});

test("PLAIN: the password is checked against the user's credential, with Kafka's words when it is wrong", async () => {
  const credentials = await credentialsOf(["alice", "secret", "SCRAM-SHA-256"], ["bob", "word", "SCRAM-SHA-512"]);
  const step = (text: string, work = new PasswordWork()) =>
    new PlainExchange(credentials, work).step(Buffer.from(text));
  for (const text of ["\0alice\0secret", "alice\0alice\0secret", "\0bob\0word"]) {
    const done = await step(text);
    assert.equal(done.outcome, "done");
    assert.equal(done.token.length, 0);
  }
  const invalid = "Authentication failed: Invalid username or password";
  const refused: [string, string][] = [
    ["\0alice\0wrong", invalid],
    ["\0nobody\0secret", invalid],
    ["\0\0secret", "Authentication failed: username not specified"],
    ["\0alice\0", "Authentication failed: password not specified"],
    ["alice", "Invalid SASL/PLAIN response: expected 3 tokens, got 1"],
    ["\0a\0b\0c\0d", "Invalid SASL/PLAIN response: expected 3 tokens, got 4"],
    [
      "bob\0alice\0secret",
      "Authentication failed: Client requested an authorization id that is different from username",
    ],
    [`\0alice\0${"x".repeat(5000)}`, "Invalid SASL/PLAIN response: too long"],
  ];
  for (const [text, message] of refused) {
    const failed = await step(text);
    assert.ok(failed.outcome === "failed", text);
    assert.equal(failed.message, message);
  }
});

test("PLAIN: who comes when too many passwords wait is refused, and none of them is lost", async () => {
  const credentials = await credentialsOf(["alice", "secret", "SCRAM-SHA-256"]);
  const work = new PasswordWork({ atOnceMax: 1, waitingMax: 3 });
  const steps = await Promise.all(
    Array.from({ length: 5 }, () => new PlainExchange(credentials, work).step(Buffer.from("\0alice\0secret"))),
  );
  assert.deepEqual(
    steps.map(({ outcome }) => outcome),
    ["done", "done", "done", "failed", "failed"],
  );
  const [last] = steps.slice(-1);
  assert.ok(last?.outcome === "failed" && last.message?.includes("could not be verified"));
  assert.equal((await new PlainExchange(credentials, work).step(Buffer.from("\0alice\0secret"))).outcome, "done");
});
