import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { realDisk } from "../base/real-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import { checkViews } from "./check-views.ts";
import { runCommandLine } from "./command-line.ts";
import { loadDefinitions } from "./load-module.ts";
import { openTerminal } from "./terminal.ts";

interface Said {
  readonly exitCode: number;
  readonly out: string;
  readonly errors: string;
}

const folder = mkdtempSync(join(tmpdir(), "millrace-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The commands in this process, with streams of their own. */
async function millrace(
  args: readonly string[],
  { input = [] as readonly string[], stopAfter = "" } = {},
): Promise<Said> {
  let out = "";
  let errors = "";
  let exitCode = 0;
  let onSignal: (() => void) | undefined;
  const writable = (take: (text: string) => void) => {
    return new Writable({
      write(chunk, _encoding, done) {
        take(String(chunk));
        done();
      },
    });
  };
  const terminal = openTerminal(
    {
      out: writable((text) => {
        out += text;
        if (stopAfter !== "" && out.includes(stopAfter)) onSignal?.();
      }),
      errors: writable((text) => {
        errors += text;
      }),
    },
    () => true,
  );
  const code = await runCommandLine(args, {
    terminal,
    clock: new VirtualClock(),
    directory: folder,
    input: (async function* () {
      for (const chunk of input) yield Buffer.from(chunk);
    })(),
    onSignal(handler) {
      onSignal = () => handler("SIGINT");
      return () => {
        onSignal = undefined;
      };
    },
    onLauncherGone() {},
    exit() {},
    fail: (failed) => {
      exitCode = failed;
    },
  });
  return { exitCode: code || exitCode, out, errors };
}

test("a wrong call exits 2 and says how to call", async () => {
  for (const [args, words] of [
    [["tpics"], /unknown command 'tpics'[\s\S]*Did you mean topics[\s\S]*Try millrace --help/],
    [["tail"], /missing required argument 'topic'[\s\S]*Try millrace tail --help/],
    [["views", "list", "--jsn"], /unknown option '--jsn'[\s\S]*--json/],
    [["init"], /required option '--source <url>'/],
    [["version", "more"], /^millrace: too many arguments/],
    [["tail", "t", "--from", "yesterday"], /--from is "yesterday"\n {2}It is earliest, latest/],
  ] as const) {
    const said = await millrace(args);
    assert.equal(said.exitCode, 2, args.join(" "));
    assert.match(said.errors, words);
    assert.equal(said.out, "");
  }
});

test("help is a result: exit 0, on stdout, with examples", async () => {
  for (const args of [["--help"], ["tail", "--help"], ["help", "publish"]]) {
    const said = await millrace(args);
    assert.equal(said.exitCode, 0);
    assert.match(said.out, /\$ (npx )?millrace /);
    assert.equal(said.errors, "");
  }
});

test("version prints the package's own, and --json the same as data", async () => {
  assert.match((await millrace(["version"])).out, /^millrace \d+\.\d+\.\d+ \(Node\.js \d/);
  const { version } = JSON.parse((await millrace(["version", "--json"])).out);
  assert.equal((await millrace(["--version"])).out, `${version}\n`);
});

test("commands that need a running Millrace exit 3 with NOT_RUNNING when there is none", async () => {
  for (const args of [
    ["topics", "list"],
    ["views", "query", "select 1"],
    ["tail", "t"],
    ["publish", "t"],
  ]) {
    const said = await millrace(args);
    assert.equal(said.exitCode, 3, args.join(" "));
    assert.match(said.errors, /NOT_RUNNING/);
  }
});

test("types --check fails when a view is another one than that of the schema file", async () => {
  const definitions = new URL("../catalog/definitions.ts", import.meta.url).href;
  const write = (query: string) => {
    writeFileSync(
      join(folder, "app.ts"),
      `import { postgres, sql, view } from ${JSON.stringify(definitions)};
       export const shop = postgres("shop", { url: "postgres://none/none", tables: ["orders"] });
       export const cards = view("cards", sql\`${query} from \${shop.orders} o\`);`,
    );
    return loadDefinitions(join(folder, "app.ts"), new VirtualClock());
  };
  const column = (name: string) => {
    return { name, sourceType: "integer", storeType: "integer", nullable: false, carriedAsText: false };
  };
  const columns = [column("id"), column("total")];
  const topic = "shop.public.orders";
  const tables = [
    { source: "shop", schema: "public", table: "orders", topic, columns, key: ["id"], appendOnly: false },
  ];
  const [cards] = await checkViews(await write("select o.id"), tables);
  const shape = { name: "cards", hash: cards?.hash, key: ["id"], columns: [{ name: "id", type: "integer" }] };
  writeFileSync(join(folder, "millrace-schema.json"), JSON.stringify({ version: 1, tables, views: [shape] }));

  assert.match((await millrace(["types", "--check"])).errors, /millrace-env\.d\.ts is not what .* says/);
  assert.equal((await millrace(["types"])).exitCode, 0);
  assert.equal((await millrace(["types", "--check"])).exitCode, 0);
  await write("select o.id, o.total");
  const stale = await millrace(["types", "--check"]);
  assert.equal(stale.exitCode, 1);
  assert.match(stale.errors, /has view "cards" as it was before[\s\S]*millrace dev[\s\S]*SCHEMA_STALE/);
  await write("select o.nothing");
  assert.match((await millrace(["types", "--check"])).errors, /VIEW_UNKNOWN_COLUMN/);
});

test("check needs no schema file where no table is read, and counts what it found", async () => {
  const definitions = new URL("../index.ts", import.meta.url).href;
  writeFileSync(
    join(folder, "events.ts"),
    `import { noVerification, topic, webhook } from ${JSON.stringify(definitions)};
     export const hook = webhook("hook", { verify: noVerification() });
     export const clicks = topic("clicks");`,
  );
  const { out, errors, exitCode } = await millrace(["check", "events.ts"]);
  assert.equal(errors, "");
  assert.equal(exitCode, 0);
  assert.match(out, /^0 sources, 1 webhook, 1 topic, 0 views$/m);
});

test("check and types know topics from their definitions, without a schema file and a database", async () => {
  const definitions = new URL("../index.ts", import.meta.url).href;
  const write = (query: string, retention: string) => {
    writeFileSync(
      join(folder, "payments.ts"),
      `import { sql, topic, view } from ${JSON.stringify(definitions)};
       const properties = { amount: { type: "number" }, paid_at: { type: "string", format: "date-time" } };
       export const payments = topic("payments", { schema: { properties }, retention: "${retention}" });
       export const paid = view("paid", sql\`${query} from \${payments} p\`);`,
    );
  };
  write("select p._partition, p._offset, p.amount", "forever");
  const { out, exitCode } = await millrace(["check", "payments.ts"]);
  assert.deepEqual(
    [exitCode, out],
    [0, "ok  view paid (linear, key _partition, _offset)\n0 sources, 1 topic, 1 view\n"],
  );
  write("select p.amout", "forever");
  const misspelt = await millrace(["check", "payments.ts"]);
  assert.match(
    misspelt.errors,
    /line 1: select p\.amout from topics\."payments" p\n +\^[\s\S]*"amount"[\s\S]*VIEW_UNKNOWN_COLUMN/,
  );
  write("select p._partition, p._offset", "7d");
  const expiring = await millrace(["check", "payments.ts"]);
  assert.match(expiring.errors, /topic "payments", of which the log keeps 7d\n.*\n +\^[\s\S]*VIEW_TOPIC_RETENTION/);
});

test("doctor warns of topics whose appends are not durable when they are answered", async () => {
  const topics = async (): Promise<{ state: string; message: string; hint?: string }> => {
    const { items } = JSON.parse((await millrace(["doctor", "--json"])).out);
    return items.find(({ what }: { what: string }) => what === "topics");
  };
  assert.deepEqual(await topics(), { what: "topics", state: "ok", message: "none yet" });
  const engine = await openEmbeddedEngine({
    disk: realDisk,
    directory: join(folder, ".millrace", "log"),
    clock: new VirtualClock(),
    random: seededRandom(1),
    diagnostics: silentDiagnostics,
  });
  await engine.createTopic("clicks");
  assert.equal((await topics()).state, "ok");
  await engine.alterTopic("clicks", { durability: "os" });
  const found = await topics();
  await engine.close();
  assert.equal(found.state, "warning");
  assert.match(found.message, /appends to clicks are answered before they are durable/);
  assert.match(found.hint ?? "", /millrace topics alter clicks --durability fsync/);
});

describe("against a door", () => {
  let server: Server;
  let seen: { method: string; url: string; key: string | undefined; body: string; idempotencyKey?: unknown }[] = [];
  let answer: (url: URL) => unknown = () => ({ items: [], next: null });

  before(async () => {
    server = createServer(async (request, response) => {
      const body = await bodyOf(request);
      const url = new URL(request.url ?? "/", "http://door");
      const { authorization, "idempotency-key": idempotencyKey } = request.headers;
      seen.push({
        method: request.method ?? "",
        url: decodeURIComponent(url.pathname + url.search),
        key: authorization,
        body,
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      });
      const value = answer(url);
      const status = typeof value === "object" && value !== null && "status" in value ? Number(value.status) : 200;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(typeof value === "string" ? value : JSON.stringify(value));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    writeFileSync(join(folder, ".env"), `MILLRACE_URL=http://127.0.0.1:${port}\nMILLRACE_KEY=0123456789abcdef\n`);
  });
  after(() => {
    rmSync(join(folder, ".env"));
    server.closeAllConnections();
    server.close();
  });

  async function bodyOf(request: IncomingMessage): Promise<string> {
    let body = "";
    for await (const chunk of request) body += chunk;
    return body;
  }

  const event = (offset: number, value: string) =>
    `{"partition":0,"offset":${offset},"timestamp":1,"key":null,"value":${value},"headers":{}}`;

  test("a list is a table for people and the door's own answer as --json, with the key of the settings", async () => {
    seen = [];
    answer = () => ({
      items: [
        {
          name: "orders",
          id: "x",
          readOnly: true,
          sizeBytes: 2048,
          settings: {},
          partitions: [{ partition: 0, logStart: 5, highWatermark: 30, lastStable: 25 }],
        },
      ],
      next: null,
    });
    const table = await millrace(["topics", "list"]);
    assert.deepEqual(
      table.out.split("\n").map((line) => line.trimEnd()),
      ["topic   partitions  offsets    size  written by", "orders           1       20  2.0 KB  Millrace", ""],
    );
    assert.deepEqual(seen, [{ method: "GET", url: "/v1/topics", key: "Bearer 0123456789abcdef", body: "" }]);
    assert.equal(JSON.parse((await millrace(["topics", "list", "--json"])).out).items[0].name, "orders");
  });

  test("topics create and alter send the settings that are given, by the door's names, and print the topic", async () => {
    seen = [];
    answer = () => ({
      name: "clicks",
      id: "x",
      readOnly: false,
      createdAt: "2026-01-01T00:00:00.000Z",
      sizeBytes: 0,
      settings: { partitions: 4, retention: "7d", dirtyRatio: 0.2 },
      partitions: [{ partition: 0, logStart: 0, highWatermark: 0, lastStable: 0 }],
    });
    const given = ["--partitions", "4", "--retention", "7d", "--max-batch", "2MB", "--dirty-ratio", "0.2"];
    const created = await millrace(["topics", "create", "clicks", ...given, "--cleanup", "compact,delete"]);
    assert.equal(created.exitCode, 0, created.errors);
    assert.match(created.out, /topic +clicks\n[\s\S]*retention +7d\ndirtyRatio +0\.2\n\npartition/);
    const late = ["--tombstone-retention", "1h", "--compaction-lag-max", "unlimited", "--partitions", "many"];
    assert.equal(JSON.parse((await millrace(["topics", "alter", "a/b", ...late, "--json"])).out).name, "clicks");
    assert.deepEqual(
      seen.map(({ method, url, body }) => [method, url, JSON.parse(body)]),
      [
        [
          "PUT",
          "/v1/topics/clicks",
          { partitions: 4, retention: "7d", maxBatch: "2MB", dirtyRatio: 0.2, cleanup: "compact,delete" },
        ],
        ["PATCH", "/v1/topics/a/b", { tombstoneRetention: "1h", compactionLagMax: "unlimited", partitions: "many" }],
      ],
    );
    const nothing = await millrace(["topics", "alter", "clicks"]);
    assert.equal(nothing.exitCode, 2);
    assert.match(nothing.errors, /what is to change[\s\S]*millrace topics alter --help/);
    assert.equal(seen.length, 2);
  });

  test("the door's errors keep their code, hint and exit code", async () => {
    answer = () => ({ status: 503, code: "VIEW_BUILDING", detail: "view a is being built", hint: "Wait." });
    const said = await millrace(["views", "explain", "a"]);
    assert.equal(said.exitCode, 4);
    assert.match(said.errors, /view a is being built\n {2}Wait\.\n {2}VIEW_BUILDING/);
  });

  test("what answers and is no Millrace is told so", async () => {
    answer = () => "<html>";
    const said = await millrace(["topics", "list"]);
    assert.equal(said.exitCode, 2);
    assert.match(said.errors, /answered what is no JSON[\s\S]*MILLRACE_URL[\s\S]*REQUEST_INVALID/);
  });

  test("query prints rows without letting them speak to the terminal, and numbers keep their digits", async () => {
    answer = () => '{"columns":["a","n"],"rows":[["\\u001b[31mred",12345678901234567890],[null,1.50]]}';
    const said = await millrace(["views", "query", "select 1"]);
    assert.equal(said.out, "a              n\n\\u001b[31mred  12345678901234567890\nnull           1.50\n");
    assert.match((await millrace(["views", "query", "select 1", "--json"])).out, /12345678901234567890/);
  });

  test("tail reads on from the door's cursor, an event per line as it was written, until it is told to stop", async () => {
    seen = [];
    answer = (url) => {
      const from = url.searchParams.get("from");
      if (from === "earliest") return `{"events":[${event(0, "12345678901234567890")}],"next":"c1"}`;
      return `{"events":[${event(1, '{"last":true}')}],"next":"c2"}`;
    };
    const said = await millrace(["tail", "orders", "--from", "earliest"], { stopAfter: "last" });
    assert.equal(said.exitCode, 0);
    assert.equal(said.out, `${event(0, "12345678901234567890")}\n${event(1, '{"last":true}')}\n`);
    assert.equal(seen[0]?.url, "/v1/topics/orders/events?from=earliest&limit=1000");
    assert.equal(seen[1]?.url, "/v1/topics/orders/events?from=c1&limit=1000&wait=30s");
  });

  test("tail stops at its limit, or at the end; raw prints bare values", async () => {
    answer = (url) => {
      if (url.searchParams.get("from") === "end") return '{"events":[],"next":"end"}';
      return `{"events":[${event(0, '"text"')},${event(1, '{"base64":"aGk="}')},${event(2, "{}")}],"next":"end"}`;
    };
    const raw = await millrace(["tail", "t", "--format", "raw", "--from", "earliest", "--no-follow"]);
    assert.equal(raw.out, "text\nhi\n{}\n");
    assert.equal((await millrace(["tail", "t", "-n", "3"])).out.split("\n").length, 4);
  });

  test("tail takes an offset for the only partition, and asks which one when there are several", async () => {
    seen = [];
    answer = (url) => (url.pathname.endsWith("/events") ? '{"events":[],"next":"c"}' : { partitions: [{}] });
    await millrace(["tail", "t", "--from", "7", "--no-follow"]);
    assert.match(seen[1]?.url ?? "", /from=7&limit=1000&partition=0/);
    answer = () => ({ partitions: [{}, {}] });
    const said = await millrace(["tail", "t", "--from", "7"]);
    assert.equal(said.exitCode, 2);
    assert.match(said.errors, /2 partitions[\s\S]*--partition/);
    assert.equal((await millrace(["tail", "t", "--format", "xml"])).exitCode, 2);
  });

  test("publish sends each line as a value, as it was written, with the key from its field", async () => {
    seen = [];
    answer = () => ({});
    const said = await millrace(["publish", "t", "--key-field", "id"], {
      input: ['{"id":12345678901234567890}\n{"i', 'd":"a"}\n\n', '{"id":{"b":1}}'],
    });
    assert.equal(said.exitCode, 0);
    assert.match(said.errors, /3 events published/);
    const lines = seen.flatMap(({ body }) => body.trim().split("\n"));
    assert.deepEqual(lines, [
      '{"key":"12345678901234567890","value":{"id":12345678901234567890}}',
      '{"key":"a","value":{"id":"a"}}',
      '{"key":"{\\"b\\":1}","value":{"id":{"b":1}}}',
    ]);
  });

  test("publish with an idempotency key sends the same requests of the same lines, however they arrive", async () => {
    const text = Array.from({ length: 2_500 }, (_, i) => `${i}\n${i % 100 === 0 ? "\n" : ""}`).join("");
    const sent: unknown[] = [];
    for (const pieceLength of [7, 1_000, text.length]) {
      seen = [];
      answer = () => ({});
      const input: string[] = [];
      for (let at = 0; at < text.length; at += pieceLength) input.push(text.slice(at, at + pieceLength));
      const said = await millrace(["publish", "t", "--idempotency-key", "import"], { input });
      assert.match(said.errors, /2,500 events published/);
      sent.push(seen.map(({ idempotencyKey, body }) => [idempotencyKey, body]));
    }
    assert.deepEqual(
      seen.map(({ idempotencyKey }) => idempotencyKey),
      ["import/1", "import/1011", "import/2021"],
    );
    assert.deepEqual(sent[0], sent[2]);
    assert.deepEqual(sent[1], sent[2]);
    seen = [];
    await millrace(["publish", "t"], { input: ["1\n"] });
    assert.equal(seen[0]?.idempotencyKey, undefined);
  });

  test("publish says what to do when lines with an idempotency key are refused", async () => {
    const publish = () => millrace(["publish", "t", "--idempotency-key", "import"], { input: ["1\n"] });
    answer = () => ({ status: 503, code: "UNIT_MOVING", detail: "not known" });
    const unsure = await publish();
    assert.equal(unsure.exitCode, 4);
    assert.match(
      unsure.errors,
      /may be there or not\. Send the same lines again with the same key: none is appended twice/,
    );
    answer = () => ({ status: 422, code: "IDEMPOTENCY_KEY_REUSED", detail: "used for another request" });
    const reused = await publish();
    assert.equal(reused.exitCode, 1);
    assert.match(reused.errors, /Other lines.* were sent with this --idempotency-key/);
    assert.doesNotMatch(reused.errors, /Send the same lines/);
  });

  test("publish names the line that is wrong, and says how many events are there", async () => {
    answer = () => ({});
    const noKey = await millrace(["publish", "t", "--key-field", "id"], { input: ['{"id":1}\n', '{"x":1}\n'] });
    assert.equal(noKey.exitCode, 2);
    assert.match(noKey.errors, /1 event published[\s\S]*line 2 has no field "id"/);
    const noJson = await millrace(["publish", "t"], { input: ["{\n"] });
    assert.match(noJson.errors, /line 1 is not JSON/);
    answer = () => ({ status: 404, code: "TOPIC_UNKNOWN", detail: 'there is no topic "t"' });
    const refused = await millrace(["publish", "t"], { input: ["1\n2\n"] });
    assert.equal(refused.exitCode, 1);
    assert.match(refused.errors, /millrace topics create t makes it/);
    assert.doesNotMatch(refused.errors, /events/);
    answer = () => (seen.length % 2 === 1 ? {} : { status: 413, code: "RECORD_TOO_LARGE", detail: "too large" });
    seen = [];
    const second = await millrace(["publish", "t"], { input: ["1\n2\n", "3\n"] });
    assert.match(second.errors, /The 2 events before are there; the 1 event that was sent is not\./);
  });
});
