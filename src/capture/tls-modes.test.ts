import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planConnect, publicUrl } from "./tls-modes.ts";

function tries(query: string, host = "db.example.com"): string {
  const outcome = planConnect(`postgres://app:secret@${host}/shop?${query}`);
  if ("fault" in outcome) return `refused: ${outcome.fault}`;
  return outcome.plan.tries
    .map((one) => (one.tls ? `tls, ${one.verify}${one.bind ? "" : ", unbound"}` : "open"))
    .join("; ");
}

test("each mode of libpq is tried as libpq tries it", () => {
  assert.equal(tries(""), "tls, nothing; open");
  assert.equal(tries("sslmode=disable"), "open");
  assert.equal(tries("sslmode=allow"), "open; tls, nothing");
  assert.equal(tries("sslmode=prefer"), "tls, nothing; open");
  assert.equal(tries("sslmode=require"), "tls, nothing");
  assert.equal(tries("sslmode=require&sslrootcert=/ca.pem"), "tls, authority");
  assert.equal(tries("sslmode=verify-ca&sslrootcert=/ca.pem"), "tls, authority");
  assert.equal(tries("sslmode=verify-full&sslrootcert=/ca.pem"), "tls, authority and name");
  assert.equal(tries("sslmode=verify-full"), "tls, authority and name");
  assert.equal(tries("sslrootcert=system"), "tls, authority and name");
  // Forms of other clients.
  assert.equal(tries("ssl=true"), "tls, nothing");
  assert.equal(tries("sslmode=no-verify"), "tls, nothing");
});

test("a socket of the same machine has no TLS, whatever is said", () => {
  assert.equal(tries("sslmode=prefer", "%2Fvar%2Frun%2Fpostgresql"), "open");
  assert.equal(tries("host=/var/run/postgresql"), "open");
});

test("channel binding is used where it can be, not at all, or always", () => {
  assert.equal(tries("sslmode=require&channel_binding=disable"), "tls, nothing, unbound");
  assert.equal(tries("channel_binding=require"), "tls, nothing");
  assert.match(tries("sslmode=disable&channel_binding=require"), /^refused: channel_binding=require needs TLS/);
});

test("what cannot be kept is refused, and never passed over", () => {
  for (const query of [
    "sslmode=verified",
    "ssl=maybe",
    "channel_binding=always",
    "sslmode=verify-ca",
    "sslmode=require&sslrootcert=system",
    "sslcrl=/crl.pem",
    "requirepeer=postgres",
    "require_auth=scram-sha-256",
    "gssencmode=require",
    "sslcert=/only.pem",
    "sslnegotiation=direct",
    "ssl_min_protocol_version=SSLv3",
  ]) {
    const told = tries(query);
    assert.match(told, /^refused: /, query);
    assert.doesNotMatch(told, /secret/);
  }
});

test("the address that is handed on has nothing of this left in it, and everything else", () => {
  const outcome = planConnect(
    "postgres://app:s%40cret@db:5433/shop?sslmode=verify-full&sslrootcert=%2Fca.pem&options=-c%20a%3D1&channel_binding=prefer",
  );
  assert.ok("plan" in outcome);
  const url = new URL(outcome.plan.url);
  assert.deepEqual([...url.searchParams.keys()], ["options"]);
  assert.equal(url.searchParams.get("options"), "-c a=1");
  assert.equal(url.password, "s%40cret");
  assert.equal(outcome.plan.files.authority, "/ca.pem");
});

test("an address that cannot be read is told without what stands in it; none is thrown at", () => {
  const outcome = planConnect("postgres://app:hunter2@db:port/shop");
  assert.ok("fault" in outcome);
  assert.doesNotMatch(JSON.stringify(outcome), /hunter2/);
  assert.equal(publicUrl("postgres://app:hunter2@db:port/shop"), "postgres://(unreadable)");
  fc.assert(fc.property(fc.string(), (text) => "fault" in planConnect(text) || "plan" in planConnect(text)));
});

test("no password of any form is in the public address", () => {
  for (const url of [
    "postgres://app:hunter2@db/shop",
    "postgres://app:h%75nter2@db/shop",
    "postgres://app@db/shop?password=hunter2",
    "postgres://app@db/shop?sslpassword=hunter2&sslcert=/a&sslkey=/b",
  ]) {
    assert.doesNotMatch(decodeURIComponent(publicUrl(url)), /hunter2/, url);
  }
});
