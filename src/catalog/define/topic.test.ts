import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type } from "arktype";
import * as v from "valibot";
import * as z from "zod";
import { MillraceError } from "../../base/errors.ts";
import { arrange, collectDefinitions } from "../collect.ts";
import { postgres } from "../definitions.ts";
import { type TopicDefinition, topic } from "./topic.ts";

function refused(code: string, message: RegExp, define: () => unknown): void {
  assert.throws(define, (error) => {
    assert.ok(MillraceError.is(error), String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(error.hint);
    return true;
  });
}

const Click = z.object({ id: z.string(), at: z.coerce.number(), tags: z.array(z.string()).default([]) });

test("a topic is a plain value that a module exports", () => {
  const clicks = topic("clicks", { schema: Click, partitions: 4, retention: "7d" });
  assert.ok(Object.isFrozen(clicks));
  assert.deepEqual(collectDefinitions({ clicks, again: clicks, other: 5 }), [clicks]);
  assert.deepEqual(arrange([clicks]).topics, [clicks]);
  assert.deepEqual(clicks.settings, { partitions: 4, retentionMs: 7 * 86_400_000 });
  assert.equal(clicks.schema?.registered?.type, "JSON");
  refused("DEFINITION_DUPLICATE", /two topics/, () => arrange([clicks, topic("clicks")]));
});

test("its types are those of the schema: what is published goes in, what is read comes out", () => {
  type In<T> = T extends { keyOf(value: infer I): unknown } ? I : never;
  type Out<T> = T extends { readonly Value?: infer O } ? O : never;
  type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
  const clicks = topic("clicks", { schema: Click });
  const pings = topic("pings", { schema: v.object({ host: v.string() }), key: (value) => value.host });
  const pongs = topic("pongs", { schema: type({ host: "string" }), key: "host" });
  const raw = topic("raw", { schema: { avro: "string" } });
  const anything = topic("anything");
  const same: readonly [
    Same<In<typeof clicks>, z.input<typeof Click>>,
    Same<Out<typeof clicks>, z.output<typeof Click>>,
    Same<In<typeof pings>, { host: string }>,
    Same<In<typeof pongs>, { host: string }>,
    Same<In<typeof raw>, Uint8Array>,
    Same<In<typeof anything>, unknown>,
  ] = [true, true, true, true, true, true];
  assert.ok(same.every(Boolean));
  assert.equal(pings.keyOf({ host: "a" }), "a");
  assert.equal(pongs.keyOf({ host: "b" }), "b");
  // @ts-expect-error a host is a text
  pings.keyOf({ host: 5 });
});

test("a name, an option or a schema that cannot be is refused where it is written", () => {
  refused("DEFINITION_INVALID", /cannot be the name/, () => topic("a b"));
  refused("DEFINITION_INVALID", /own/, () => topic("_millrace.x"));
  refused("DEFINITION_INVALID", /own/, () => topic("__consumer_offsets"));
  refused("DEFINITION_INVALID", /"partition"/, () => topic("a", { partition: 3 } as never));
  refused("DEFINITION_INVALID", /partitions/, () => topic("a", { partitions: 0 }));
  refused("DEFINITION_INVALID", /retention/, () => topic("a", { retention: "7" }));
  refused("DEFINITION_INVALID", /cleanup/, () => topic("a", { cleanup: "burn" as never }));
  refused("DEFINITION_INVALID", /compatibility/, () => topic("a", { compatibility: "some" as never }));
  refused("DEFINITION_INVALID", /schema/, () => topic("a", { schema: 5 as never }));
  refused("DEFINITION_INVALID", /key/, () => topic("a", { key: 5 as never }));
  refused("SCHEMA_INVALID", /topic "a"/, () => topic("a", { schema: { avro: "{" } }));
  refused("SCHEMA_INVALID", /topic "a"/, () => topic("a", { schema: { type: "no such type" } }));
  refused("SCHEMA_INVALID", /topic "a"/, () => topic("a", { schema: { protobuf: "message {" } }));
  const promises = {
    "~standard": { version: 1 as const, vendor: "x", validate: async (value: unknown) => ({ value }) },
  };
  refused("DEFINITION_INVALID", /promises/, () => topic("a", { schema: promises as never }));
  refused("DEFINITION_INVALID", /upcast/, () => topic("a", { schema: Click, upcast: { 0: (old: unknown) => old } }));
  refused("DEFINITION_INVALID", /upcast/, () => topic("a", { upcast: { 1: (old: unknown) => old } }));
});

test("what a source writes has no definition of its own", () => {
  const shop = postgres("shop", { url: "postgres://a@b/c", tables: [{ name: "orders", topic: "orders" }] });
  refused("DEFINITION_INVALID", /source "shop"/, () => arrange([shop, topic("shop.public.orders")]));
  refused("DEFINITION_INVALID", /source "shop"/, () => arrange([shop, topic("orders")]));
  assert.equal(arrange([shop, topic("shopping")]).topics.length, 1);
});

describe("publishing", () => {
  const sent: { readonly sql: string; readonly values: readonly unknown[] }[] = [];
  const via = {
    query: async (sql: string, values: readonly unknown[]) => {
      sent.push({ sql, values });
      return { rows: [] };
    },
  };

  test("writes what fits into the transaction, with the key of the definition", async () => {
    const clicks = topic("clicks", { schema: Click, key: "id" });
    sent.length = 0;
    await clicks.publish({ id: "7", at: 5 }, { via: via as never, headers: { traceparent: "00-x" } });
    assert.equal(sent.length, 1);
    assert.match(sent[0]?.sql ?? "", /pg_logical_emit_message/);
    assert.match(JSON.stringify(sent[0]?.values), /clicks/);
  });

  test("refuses what does not fit, and writes nothing", async () => {
    sent.length = 0;
    const cases: readonly (readonly [Pick<TopicDefinition<never>, "publish">, unknown])[] = [
      [topic("clicks", { schema: Click }), { id: 7, at: 1 }],
      [topic("clicks", { schema: Click }), null],
      [topic("clicks", { schema: Click }), { id: "7", at: 1n }],
      [topic("plain", { schema: { type: "number" } }), "text"],
      [topic("avro", { schema: { avro: "string" } }), Buffer.from("x")],
      [topic("avro", { schema: { avro: "string" } }), { a: 1 }],
    ];
    for (const [definition, value] of cases) {
      await assert.rejects(definition.publish(value as never, { via: via as never }), (error) =>
        MillraceError.is(error, "SCHEMA_MISMATCH"),
      );
    }
    assert.equal(sent.length, 0);
    await topic("latest", { schema: Click, cleanup: "compact" }).publish(null, { via: via as never, key: "7" });
    await topic("any").publish({ whatever: 1 }, { via: via as never });
    assert.equal(sent.length, 2);
  });
});
