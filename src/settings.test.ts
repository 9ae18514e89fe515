import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MillraceError } from "./base/errors.ts";
import { parseDurationMs } from "./base/units.ts";
import { loadEnvironment, readCaller, readSettings, settingsTable } from "./settings.ts";

test("an empty environment gives the defaults of the table", () => {
  const settings = readSettings("/app", {});
  assert.deepEqual(settings, {
    http: { port: 4400, required: false },
    host: "127.0.0.1",
    dataDirectory: "/app/.millrace",
    logMemoryBytes: 128 * 1024 ** 2,
    diskReserveBytes: 256 * 1024 ** 2,
    store: null,
    storePort: { port: 4432, required: false },
    rowCacheBytes: 64 * 1024 ** 2,
    key: null,
    origins: [],
    tokens: null,
    idempotencyWindowMs: 86_400_000,
    kafka: {
      cluster: null,
      listeners: [
        {
          name: "PLAINTEXT",
          protocol: "PLAINTEXT",
          host: "127.0.0.1",
          port: null,
          advertised: { host: "127.0.0.1", port: null },
        },
      ],
      autoCreateTopics: true,
      partitionsDefault: 1,
      security: {
        certificate: null,
        clientAuthority: null,
        clientCertificates: "none",
        principalRules: "DEFAULT",
        mechanisms: ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"],
        admin: null,
        superUsers: [],
        authorization: false,
        tokens: null,
        reauthenticateMs: 0,
      },
    },
    diagnostics: "info",
    pgBin: null,
    url: null,
    noColor: false,
  });
  const written = (name: string) => settingsTable.find((row) => row.name === name)?.default;
  assert.equal(written("MILLRACE_PORT"), String(settings.http.port));
  assert.equal(written("MILLRACE_STORE_PORT"), String(settings.storePort.port));
  assert.equal(parseDurationMs(written("MILLRACE_IDEMPOTENCY_WINDOW"), "window"), settings.idempotencyWindowMs);
  assert.equal(written("MILLRACE_HOST"), settings.host);
  assert.equal(written("MILLRACE_DIAGNOSTICS"), settings.diagnostics);
  assert.deepEqual(readSettings("/app", { MILLRACE_PORT: " ", NO_COLOR: "" }), settings, "empty is not set");
});

test("every setting is read in its form", () => {
  const settings = readSettings("/app", {
    MILLRACE_PORT: "8080",
    MILLRACE_STORE_PORT: "0",
    MILLRACE_HOST: "0.0.0.0",
    MILLRACE_DATA: "data",
    MILLRACE_STORE: "postgres://a:b@db/x",
    MILLRACE_KEY: "0123456789abcdef",
    MILLRACE_ORIGINS: "https://a.example, http://b.example:8080/",
    MILLRACE_DIAGNOSTICS: "warn",
    MILLRACE_PG_BIN: "/usr/lib/postgresql/18/bin",
    MILLRACE_URL: "https://m.example/",
    NO_COLOR: "1",
  });
  assert.deepEqual(settings.http, { port: 8080, required: true });
  assert.deepEqual(settings.storePort, { port: 0, required: true });
  assert.equal(settings.dataDirectory, "/app/data");
  assert.deepEqual(settings.origins, ["https://a.example", "http://b.example:8080"]);
  assert.equal(settings.url, "https://m.example");
  assert.equal(settings.noColor, true);
});

const wrong: Readonly<Record<string, string>> = {
  MILLRACE_PORT: "70000",
  MILLRACE_STORE_PORT: "http",
  MILLRACE_STORE: "mysql://a:secret@db/x",
  MILLRACE_KEY: "short",
  MILLRACE_KAFKA: "kafka-1",
  MILLRACE_KAFKA_CLUSTER_TLS: "yes",
  MILLRACE_KAFKA_CLUSTER_LOGIN: "GSSAPI:user:secret",
  MILLRACE_KAFKA_PORT: "70000",
  MILLRACE_KAFKA_LISTENERS: "127.0.0.1:9092",
  MILLRACE_KAFKA_ADVERTISED_LISTENERS: "SSL://log.example:9093",
  MILLRACE_KAFKA_ANONYMOUS: "yes",
  MILLRACE_KAFKA_AUTO_CREATE: "1",
  MILLRACE_KAFKA_PARTITIONS: "0",
  MILLRACE_KAFKA_TLS_CERTIFICATE: "cert.pem",
  MILLRACE_KAFKA_CLIENT_CERTIFICATES: "yes",
  MILLRACE_KAFKA_SASL_MECHANISMS: "GSSAPI",
  MILLRACE_KAFKA_ADMIN: "admin:secret",
  MILLRACE_KAFKA_SUPER_USERS: "alice",
  MILLRACE_KAFKA_AUTHORIZATION: "true",
  MILLRACE_KAFKA_REAUTHENTICATE: "3600",
  MILLRACE_ORIGINS: "https://a.example/path",
  MILLRACE_DIAGNOSTICS: "loud",
  MILLRACE_URL: "127.0.0.1:4400",
};

for (const [name, value] of Object.entries(wrong)) {
  test(`${name}=${value} is refused by name`, () => {
    assert.throws(
      () => readSettings("/app", { [name]: value }),
      (error) =>
        MillraceError.is(error, "SETTING_INVALID") && error.message.includes(name) && !/secret/.test(error.message),
    );
  });
}

test("Kafka clients beyond loopback authenticate, unless the operator says that they need not", () => {
  const everywhere = { MILLRACE_KAFKA_LISTENERS: "PLAINTEXT://0.0.0.0:9092" };
  assert.throws(
    () => readSettings("/app", everywhere),
    (error) => MillraceError.is(error, "KEY_REQUIRED"),
  );
  assert.equal(readSettings("/app", { ...everywhere, MILLRACE_KAFKA_ANONYMOUS: "anywhere" }).kafka.listeners.length, 1);
  assert.equal(
    readSettings("/app", { MILLRACE_KAFKA_LISTENERS: "SASL_PLAINTEXT://0.0.0.0:9094" }).kafka.listeners[0]?.protocol,
    "SASL_PLAINTEXT",
  );
  assert.deepEqual(readSettings("/app", { MILLRACE_KAFKA_PORT: "off" }).kafka.listeners, []);
});

test("how long a SASL login holds has a unit, and is not shorter than clients can renew it", () => {
  const read = (text: string) => readSettings("/app", { MILLRACE_KAFKA_REAUTHENTICATE: text }).kafka.security;
  assert.equal(read("1h").reauthenticateMs, 3_600_000);
  for (const text of ["0s", "1s", "366d"]) {
    assert.throws(
      () => read(text),
      (error) => MillraceError.is(error, "SETTING_INVALID"),
    );
  }
});

test("a list of mechanisms that names none does not open a SASL listener to everybody", () => {
  assert.throws(
    () => readSettings("/app", { MILLRACE_KAFKA_SASL_MECHANISMS: "," }),
    (error) => MillraceError.is(error, "SETTING_INVALID"),
  );
});

test("the environment wins over .env, and an edited .env is taken again", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-settings-"));
  try {
    const environment: Record<string, string | undefined> = { A: "real" };
    loadEnvironment(folder, environment);
    assert.deepEqual(environment, { A: "real" }, "no file is no error");
    writeFileSync(
      join(folder, ".env"),
      "A=file\nMILLRACE_SETTINGS_TEST_B='postgres://x'\n# no\nMILLRACE_SETTINGS_TEST_C=1\n",
    );
    loadEnvironment(folder, environment);
    assert.deepEqual(environment, {
      A: "real",
      MILLRACE_SETTINGS_TEST_B: "postgres://x",
      MILLRACE_SETTINGS_TEST_C: "1",
    });
    writeFileSync(join(folder, ".env"), "MILLRACE_SETTINGS_TEST_B=changed\n");
    loadEnvironment(folder, environment);
    assert.deepEqual(environment, { A: "real", MILLRACE_SETTINGS_TEST_B: "changed" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the package manager that runs us is known by what it says", () => {
  const pnpm = { npm_config_user_agent: "pnpm/10.1.0 npm/? node/v26", npm_lifecycle_event: "start" };
  assert.deepEqual(readCaller(pnpm), { packageManager: "pnpm", launched: true });
  assert.deepEqual(readCaller({ npm_command: "exec" }), { packageManager: null, launched: true });
  assert.deepEqual(readCaller({}), { packageManager: null, launched: false });
});

test("the cache of rows is a size, and may be nothing", () => {
  const read = (text: string) => readSettings("/app", { MILLRACE_ROW_CACHE: text }).rowCacheBytes;
  assert.equal(read("1GB"), 1024 ** 3);
  assert.equal(read("0B"), 0);
  for (const text of ["64", "-1MB", "much"]) {
    assert.throws(
      () => read(text),
      (error) => MillraceError.is(error, "SETTING_INVALID"),
      text,
    );
  }
});

test("the window of idempotency keys has a unit and its bounds", () => {
  const read = (text: string) => readSettings("/app", { MILLRACE_IDEMPOTENCY_WINDOW: text }).idempotencyWindowMs;
  assert.equal(read("7d"), 7 * 86_400_000);
  for (const text of ["30", "59s", "366d", "-1h", "soon"]) {
    assert.throws(
      () => read(text),
      (error) => MillraceError.is(error, "SETTING_INVALID"),
      text,
    );
  }
});

test("callers' tokens need keys, and an issuer or audience without them is refused", () => {
  const given = { MILLRACE_TOKEN_KEYS: "https://id.example/keys", MILLRACE_TOKEN_AUDIENCE: "shop, app" };
  const tokens = { keys: "https://id.example/keys", issuer: null, audiences: ["shop", "app"] };
  assert.deepEqual(readSettings("/app", given).tokens, tokens);
  for (const name of ["MILLRACE_TOKEN_ISSUER", "MILLRACE_TOKEN_AUDIENCE"]) {
    assert.throws(() => readSettings("/app", { [name]: "shop" }), {
      code: "SETTING_INVALID",
      message: /need MILLRACE_TOKEN_KEYS/,
    });
  }
});
