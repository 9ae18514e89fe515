import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import { freePort } from "../support/ports.ts";
import { testDatabase } from "../support/postgres.ts";
import { eventually, type Program, runProgram } from "../support/program.ts";

interface ViewInfo {
  readonly name: string;
  readonly state: {
    readonly kind: string;
    readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
  };
}

describe("bad input stops nothing but itself", () => {
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let program: Program;

  before(async () => {
    database = await testDatabase();
    await run("create table items (id int primary key, name text)");
    await run("insert into items values (1, '7')");
    program = await runProgram({
      script: ["src/cli/millrace.ts", "start", "test/services/bad-input/app.ts"],
      env: { GOOD_URL: database.url, AWAY_URL: `postgres://nobody@127.0.0.1:${await freePort()}/nothing` },
    });
  });

  after(async () => {
    await program?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  async function run(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  }

  async function viewIn(name: string, kind: string): Promise<ViewInfo> {
    return eventually(async () => {
      const { items } = (await (await fetch(`${program.address}/v1/views`)).json()) as { items: ViewInfo[] };
      return items.find((view) => view.name === name && view.state.kind === kind);
    });
  }

  async function rows(view: string): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${program.address}/v1/views/${view}`);
    return { status: response.status, body: await response.json() };
  }

  test("a view that is right is live beside all that are not", async () => {
    await viewIn("right_view", "live");
    assert.deepEqual((await rows("right_view")).body, [{ id: 1, name: "7" }]);
  });

  test("a column that does not exist is told with the nearest name", async () => {
    const { state } = await viewIn("unknown_column", "failed");
    assert.equal(state.error?.code, "VIEW_UNKNOWN_COLUMN");
    assert.match(`${state.error?.message} ${state.error?.hint}`, /"nane"[\s\S]*name/);
  });

  test("SQL that does not parse, and SQL that is not kept yet, are told apart", async () => {
    assert.equal((await viewIn("not_sql", "failed")).state.error?.code, "VIEW_SQL_INVALID");
    const { state } = await viewIn("untraceable", "failed");
    assert.equal(state.error?.code, "VIEW_UNSUPPORTED");
    assert.ok(state.error?.hint, "it does not say what would help");
  });

  test("a source that nobody answers for is retried and said so, and its views wait", async () => {
    const response = await fetch(`${program.address}/v1/sources/away`);
    const away = (await response.json()) as { state: { kind: string; error?: { code: string } } };
    assert.equal(away.state.kind, "waiting");
    assert.equal(away.state.error?.code, "SOURCE_UNREACHABLE");
    assert.equal((await rows("waiting_view")).status, 503);
  });

  test("a row that a view cannot compute fails that view alone", async () => {
    await viewIn("failing_view", "live");
    await run("insert into items values (2, 'not a number')");
    const { state } = await viewIn("failing_view", "failed");
    assert.equal(state.error?.code, "VIEW_FAILED");
    await eventually(async () => ((await rows("right_view")).body as unknown[]).length === 2 || undefined);
    const { status, body } = await rows("failing_view");
    assert.equal(status, 503);
    assert.equal((body as { code: string }).code, "VIEW_FAILED");
  });

  for (const [file, code, says] of [
    ["throws.ts", "MODULE_UNREADABLE", /throws\.ts:2/],
    ["twins.ts", "DEFINITION_DUPLICATE", /twin/],
    ["missing.ts", "MODULE_UNREADABLE", /missing\.ts/],
  ] as const) {
    test(`a definition module that cannot be taken is refused with ${code} before anything starts: ${file}`, async () => {
      await assert.rejects(
        runProgram({ script: ["src/cli/millrace.ts", "start", `test/services/bad-input/${file}`] }),
        (error: Error) => {
          assert.match(error.message, new RegExp(code));
          assert.match(error.message, says);
          return true;
        },
      );
    });
  }

  test("views that read each other in a circle are refused by name", async () => {
    await using circle = await runProgram({
      script: ["src/cli/millrace.ts", "start", "test/services/bad-input/circle.ts"],
    });
    const { items } = (await (await fetch(`${circle.address}/v1/views`)).json()) as { items: ViewInfo[] };
    assert.deepEqual(items.map((view) => [view.name, view.state.error?.code]).sort(), [
      ["egg", "VIEW_CYCLE"],
      ["hen", "VIEW_CYCLE"],
    ]);
  });
});
