import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../../../test/support/postgres.ts";
import { hasEquality, parseType } from "../sql-type.ts";
import { aggregates, windowFunctions } from "./functions.ts";
import { resultType } from "./result-types.ts";

const types =
  "smallint,integer,bigint,numeric,real,double precision,text,character varying,character,boolean,date,time,timestamp,timestamptz,interval,uuid,bytea,jsonb,json,integer[],text[]".split(
    ",",
  );

test("what is believed of the type of an aggregate is what PostgreSQL makes it", async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    const believed = new Set<string>();
    const wrong: string[] = [];
    for (const name of [...aggregates, ...windowFunctions]) {
      for (const of of types) {
        for (const [call, args, ordered] of callsOf(name, of)) {
          const is = resultType(name, args.map(parseType), ordered === undefined ? undefined : parseType(ordered));
          if (is.name === "?") continue;
          const found = await client
            .query<{ type: string }>(`select format_type(pg_typeof(${call})::oid, null) as type`)
            .catch(() => null);
          const type = found?.rows[0]?.type;
          if (type === undefined) continue;
          believed.add(name);
          const known = parseType(type);
          // A text of another length is compared as one.
          const same = known.name === is.name || (known.name === "varchar" && is.name === "text");
          if (!same || known.array !== is.array || hasEquality(known) !== hasEquality(is))
            wrong.push(`${call}: ${type}, not ${is.name}${is.array ? "[]" : ""}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
    for (const name of ["count", "sum", "avg", "max", "array_agg", "mode", "lag", "rank", "bool_or", "string_agg"])
      assert.ok(believed.has(name), name);
  } finally {
    await client.end();
  }
});

type Call = readonly [sql: string, args: readonly string[], ordered: string | undefined];

function callsOf(name: string, of: string): Call[] {
  const value = `null::${of}`;
  const over = windowFunctions.has(name) ? " over ()" : "";
  return [
    [`${name}()${over}`, [], undefined],
    [`${name}(${value})${over}`, [of], undefined],
    [`${name}(${value}, ${value})${over}`, [of, of], undefined],
    [`${name}(${value}, 1)${over}`, [of, "integer"], undefined],
    [`${name}() within group (order by ${value})`, [], of],
    [`${name}(0.5::double precision) within group (order by ${value})`, ["double precision"], of],
    [`${name}(array[0.5::double precision]) within group (order by ${value})`, ["double precision[]"], of],
  ];
}
