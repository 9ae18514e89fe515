import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { authenticate, type SaslLogin } from "./sasl.ts";

const user = { username: "user", password: "pencil" };
const nonce = "rOprNGfwEbeRWgbNEkqO";
/** Of the RFC's example. */
const random = { ...seededRandom(1), bytes: () => Buffer.from(nonce, "base64") };

/** Answers in turn, and keeps what was said. */
async function said(login: SaslLogin, ...answers: string[]): Promise<string[]> {
  const heard: string[] = [];
  await authenticate(login, random, async (bytes) => {
    heard.push(bytes.toString());
    return Buffer.from(answers.shift() ?? "");
  });
  return heard;
}

const serverFirst = `r=${nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`;
const scram = { ...user, mechanism: "SCRAM-SHA-256" } as const;

test("PLAIN says name and password", async () => {
  assert.deepEqual(await said({ ...user, mechanism: "PLAIN" }), ["\0user\0pencil"]);
});

test("SCRAM-SHA-256 proves the password, as in the example of RFC 7677", async () => {
  const heard = await said(scram, serverFirst, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  assert.deepEqual(heard, [
    `n,,n=user,r=${nonce}`,
    `c=biws,r=${nonce}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`,
  ]);
});

test("a server that does not know the password, or answers what cannot be, is refused", async () => {
  const refused = { code: "CLUSTER_REFUSED" };
  await assert.rejects(said(scram, serverFirst, "v=AAAA"), refused);
  await assert.rejects(said(scram, serverFirst, "e=invalid-proof"), refused);
  for (const first of ["", "r=other,s=AAAA,i=4096", `r=${nonce},s=AAAA,i=4096`]) {
    await assert.rejects(said(scram, first), refused, first);
  }
  for (const iterations of ["1", "x", "2000000000"]) {
    await assert.rejects(said(scram, serverFirst.replace("4096", iterations)), refused, iterations);
  }
});

test("names with characters of the protocol are written as it has them", async () => {
  const heard: string[] = [];
  const login = { mechanism: "SCRAM-SHA-512", username: "a=b,c", password: "p" } as const;
  await assert.rejects(
    authenticate(login, random, async (bytes) => {
      heard.push(bytes.toString());
      return Buffer.alloc(0);
    }),
  );
  assert.deepEqual(heard, [`n,,n=a=3Db=2Cc,r=${nonce}`]);
});
