/** What the compiler believes of functions, operators and types, held against PostgreSQL's own catalogue. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../../test/support/postgres.ts";
import { findFunction, listedFunctionNames } from "./function-list.ts";
import {
  commonType,
  hasEquality,
  hasOneSpelling,
  knownOperators,
  operatorType,
  parseType,
  type SqlType,
} from "./sql-type.ts";

let database: TestDatabase;
let client: pg.Client;

before(async () => {
  database = await testDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});

after(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
});

const typeNames =
  "smallint,integer,bigint,numeric,real,double precision,text,character varying,character,boolean,date,time without time zone,timestamp without time zone,timestamp with time zone,interval,uuid,bytea,jsonb,json,integer[],text[]".split(
    ",",
  );

interface Overload {
  readonly name: string;
  readonly args: readonly string[];
  readonly result: string;
  readonly volatility: "i" | "s" | "v";
  readonly strict: boolean;
}

async function overloads(names: readonly string[]): Promise<Overload[]> {
  const { rows } = await client.query<Overload>(
    `select proname as name, provolatile as volatility, proisstrict as strict, format_type(prorettype, null) as result,
       array(select format_type(t, null) from unnest(proargtypes) with ordinality a (t, i) order by i) as args
     from pg_proc where pronamespace = 'pg_catalog'::regnamespace and prokind = 'f' and proname = any ($1)`,
    [names],
  );
  return rows;
}

test("every listed function is PostgreSQL's, and is never volatile", async () => {
  const found = await overloads(listedFunctionNames());
  const names = new Set(found.map((one) => one.name));
  assert.deepEqual(
    listedFunctionNames().filter((name) => !names.has(name)),
    [],
  );
  assert.deepEqual(
    found.filter((one) => one.volatility === "v").map((one) => one.name),
    [],
  );
});

/** These depend on settings that the store pins (time zone, forms of dates and intervals, float digits), or on the encoding. */
const stable =
  "array_to_json array_to_string concat concat_ws convert_from convert_to date_part date_trunc extract format json_build_array json_build_object jsonb_build_array jsonb_build_object length make_timestamptz overlaps quote_literal row_to_json timezone to_char to_date to_json to_jsonb to_number to_timestamp";

test("the listed functions that PostgreSQL calls stable depend on pinned settings only", async () => {
  const found = (await overloads(listedFunctionNames())).filter((one) => one.volatility === "s");
  assert.deepEqual([...new Set(found.map((one) => one.name))].sort(), stable.split(" "));
});

test("a listed function that is said to be strict is so", async () => {
  const loose = (await overloads(listedFunctionNames())).filter(
    (one) => findFunction(one.name)?.strictScalar === true && !one.strict,
  );
  assert.deepEqual(
    loose.map((one) => `${one.name}(${one.args.join(", ")})`),
    [],
  );
});

test("what a function yields is known rightly, or not at all", async () => {
  const wrong: string[] = [];
  for (const { name, args, result } of await overloads(listedFunctionNames())) {
    if ([...args, result].some((one) => /^any|"any"|cstring|internal/.test(one))) continue;
    const believed = findFunction(name)?.type(args.map(parseType));
    if (believed !== undefined && believed.name !== "?" && spelled(believed) !== spelled(parseType(result))) {
      wrong.push(`${name}(${args.join(", ")}) is ${result}, not ${spelled(believed)}`);
    }
  }
  assert.deepEqual(wrong, []);
});

function spelled(one: SqlType): string {
  return `${one.name}${one.array ? "[]" : ""}`;
}

async function typeOf(expression: string): Promise<SqlType | null> {
  try {
    const { fields } = await client.query(`select ${expression} as x limit 0`);
    const { rows } = await client.query<{ name: string }>("select format_type($1, null) as name", [
      fields[0]?.dataTypeID,
    ]);
    return parseType(rows[0]?.name ?? "");
  } catch {
    return null;
  }
}

test("what an operator yields is known rightly, or not at all", async () => {
  const { rows } = await client.query<{ name: string; l: string; r: string; result: string; volatility: string }>(
    `select o.oprname as name, format_type(o.oprleft, null) as l, format_type(o.oprright, null) as r,
       format_type(o.oprresult, null) as result, p.provolatile as volatility
     from pg_operator o join pg_proc p on p.oid = o.oprcode
     where o.oprkind = 'b' and o.oprname = any ($1) and format_type(o.oprleft, null) = any ($2) and format_type(o.oprright, null) = any ($2)`,
    [[...knownOperators], typeNames],
  );
  assert.ok(rows.length > 200);
  const wrong = rows.flatMap(({ name, l, r, result }) => {
    const believed = operatorType(name, parseType(l), parseType(r));
    return believed.name === "?" || spelled(believed) === spelled(parseType(result))
      ? []
      : [`${l} ${name} ${r} is ${result}, not ${spelled(believed)}`];
  });
  assert.deepEqual(wrong, []);
  assert.deepEqual(
    rows.filter((row) => row.volatility === "v"),
    [],
  );
});

test("arithmetic over mixed numbers yields what PostgreSQL says", async () => {
  const numbers = typeNames.slice(0, 6);
  for (const l of numbers) {
    for (const r of numbers) {
      for (const operator of ["+", "*", "/", "%", "^", "<<"]) {
        const actual = await typeOf(`null::${l} ${operator} null::${r}`);
        const believed = operatorType(operator, parseType(l), parseType(r));
        if (actual !== null && believed.name !== "?")
          assert.equal(spelled(believed), spelled(actual), `${l} ${operator} ${r}`);
      }
    }
  }
});

test("CASE, COALESCE and UNION settle on the type that PostgreSQL says", async () => {
  for (const l of typeNames) {
    for (const r of typeNames) {
      const believed = commonType([parseType(l), parseType(r)]);
      if (believed.name !== "?") {
        const actual = await typeOf(`coalesce(null::${l}, null::${r})`);
        assert.equal(spelled(believed), actual === null ? "none" : spelled(actual), `${l}, ${r}`);
      }
    }
  }
});

test("types are known to be grouped, and to have one spelling, as they have", async () => {
  for (const name of [...typeNames, "xml", "point"]) {
    const grouped = (await typeOf(`(select count(*) from (select null::${name} as v) x group by v)`)) !== null;
    assert.equal(hasEquality(parseType(name)), grouped, name);
  }
  const spellings = [
    "1.0::numeric",
    "1.00::numeric",
    "0.0::float8",
    "'-0'::float8",
    "interval '30 days'",
    "interval '1 mon'",
    "'[1]'::jsonb",
    "'[1.0]'::jsonb",
  ];
  for (const value of spellings) {
    const type = await typeOf(value);
    assert.ok(type !== null && !hasOneSpelling(type), value);
  }
  assert.ok(hasOneSpelling(parseType("numeric(10,2)")));
});
