import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { subjectOfCertificate } from "./certificate-subject.ts";
import { readPrincipalMapping } from "./principal-mapping.ts";

const element = (tag: number, ...content: Buffer[]): Buffer => {
  const body = Buffer.concat(content);
  const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const oids: Record<string, number[]> = {
  CN: [0x55, 4, 3],
  C: [0x55, 4, 6],
  O: [0x55, 4, 10],
  OU: [0x55, 4, 11],
  serialNumber: [0x55, 4, 5],
  UID: [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
  emailAddress: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
};
const attribute = (name: string, value: string, tag = 0x0c) =>
  element(0x30, element(6, Buffer.from(oids[name] ?? [])), element(tag, Buffer.from(value)));

/** A certificate as far as its subject; what stands behind is not looked at. */
function certificate(...parts: Buffer[][]): Buffer {
  const empty = element(0x30);
  const subject = element(0x30, ...parts.map((attributes) => element(0x31, ...attributes)));
  const version = element(0xa0, element(2, Buffer.from([2])));
  const fields = [version, element(2, Buffer.from([1])), empty, empty, empty, subject, empty];
  return element(0x30, element(0x30, ...fields), empty);
}

// What Java writes for the same subjects was compared by hand with certificates that OpenSSL had made.
test("the subject of a certificate is written as Java writes it", () => {
  const der = certificate(
    [attribute("C", "SE", 0x13)],
    [attribute("O", 'a=b;c#d<e>f\\g*@h "i",+')],
    [attribute("OU", " lead å trail ")],
    [attribute("CN", "al:ice"), attribute("UID", "7")],
    [attribute("emailAddress", "a@b.se", 0x16)],
    [attribute("serialNumber", "123", 0x13)],
  );
  assert.equal(
    subjectOfCertificate(der),
    "2.5.4.5=#1303313233,1.2.840.113549.1.9.1=#16066140622e7365,CN=al:ice+UID=7,OU=\\ lead å trail\\ ," +
      'O=a\\=b\\;c\\#d\\<e\\>f\\\\g*@h \\"i\\"\\,\\+,C=SE',
  );
  assert.equal(subjectOfCertificate(certificate()), "");
});

test("bytes that are no certificate have no subject, and none of them throws", () => {
  const der = certificate([attribute("C", "SE", 0x13)], [attribute("CN", "alice")]);
  for (let length = 0; length < der.length - 4; length++) subjectOfCertificate(der.subarray(0, length));
  assert.equal(subjectOfCertificate(Buffer.alloc(0)), undefined);
  const random = seededRandom(1);
  for (let run = 0; run < 5_000; run++) {
    const hurt = Buffer.from(der);
    for (let i = 0; i <= random.below(3); i++) hurt[random.below(hurt.length)] = random.below(256);
    const subject = subjectOfCertificate(hurt);
    assert.ok(subject === undefined || typeof subject === "string");
  }
});

const subject = "CN=Duke,OU=ServiceUsers,O=Org,C=US";

test("without rules the subject is the name, and a peer without a certificate is anonymous", () => {
  assert.equal(readPrincipalMapping().principalOf(subject), `User:${subject}`);
  assert.equal(readPrincipalMapping("").principalOf(subject), `User:${subject}`);
  assert.equal(readPrincipalMapping().principalOf(undefined), "User:ANONYMOUS");
});

test("the first rule that fits the whole subject says the name", () => {
  const mapping = readPrincipalMapping(
    "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),C=(.*?)$/$1@$2/L,RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U , DEFAULT",
  );
  assert.equal(mapping.principalOf(subject), "User:Duke");
  assert.equal(mapping.principalOf("CN=Duke,OU=SME,O=mycp,C=US"), "User:duke@sme");
  assert.equal(mapping.principalOf("cn=JavaDuke,O=x"), "User:JAVADUKE");
  assert.equal(mapping.principalOf("O=x"), "User:O=x");
});

test("a subject that no rule fits is not let in", () => {
  assert.equal(readPrincipalMapping("RULE:CN=(\\w+)/$1/").principalOf(subject), undefined);
});

test("slashes, dollars and groups that are not there stay what they are", () => {
  const mapping = (text: string) => readPrincipalMapping(text).principalOf("CN=a/b");
  assert.equal(mapping("RULE:CN=(.)\\/(.)/$2\\/$1/"), "User:b/a");
  assert.equal(mapping("RULE:CN=(.)\\/(.)/$3$1/"), "User:$3a");
  assert.equal(mapping("RULE:CN=(.)\\/(.)/$12/"), "User:a2");
  assert.equal(mapping("RULE:CN=(.)\\/(.)/\\$1$&/"), "User:$1$&");
});

test("text that is no rule is refused when it is read", () => {
  for (const text of ["RULE:a", "RULE:a/b", "RULE:a/b/X", "default", "RULE:(/x/", "DEFAULT DEFAULT"]) {
    assert.throws(
      () => readPrincipalMapping(text),
      (error) => MillraceError.is(error, "SETTING_INVALID"),
      text,
    );
  }
});
