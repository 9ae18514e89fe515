import assert from "node:assert/strict";
import { test } from "node:test";
import { json, ScriptedServer } from "../test/scripted-server.ts";
import { connect } from "./index.ts";
import type { SelectedRow } from "./selected-row.ts";

/** As `millrace types` writes them. */
interface Views {
  readonly orders: { readonly id: string; readonly customer_id: number; readonly total: string | null };
  readonly customers: { readonly id: number; readonly name: string };
  readonly lines: { readonly order_id: string; readonly sku: string };
}
interface Relations {
  readonly orders: {
    readonly customer: { readonly view: "customers"; readonly many: false };
    readonly lines: { readonly view: "lines"; readonly many: true };
  };
  readonly customers: { readonly orders: { readonly view: "orders"; readonly many: true } };
}
interface App {
  readonly views: Views;
  readonly relations: Relations;
}

type Of<Select extends string, Name = "orders", Types = App> = SelectedRow<Types, Name, Select>;
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Loose = Record<string, unknown>;

/** Fails to compile where one of them is false. */
function hold<All extends readonly true[]>(...all: All): void {
  assert.ok(all.every((one) => one));
}

test("columns, other names, casts and places have the types that rows have", () => {
  hold(
    true satisfies Same<Of<"id,total">, { readonly id: string; readonly total: string | null }>,
    true satisfies Same<Of<"nr:id">, { readonly nr: string }>,
    true satisfies Same<Of<"id,total::float8">, { readonly id: string; readonly total: unknown }>,
    true satisfies Same<Of<"n:total::int">, { readonly n: unknown }>,
    true satisfies Same<Of<"id,_rank">, { readonly id: string; readonly _rank: unknown }>,
    true satisfies Same<Of<"*">, { [Column in keyof Views["orders"]]: Views["orders"][Column] }>,
  );
});

test("a reference is one row or null, what refers is an array, and both nest", () => {
  hold(
    true satisfies Same<
      Of<"id,customer(name)">,
      { readonly id: string; readonly customer: { readonly name: string } | null }
    >,
    true satisfies Same<Of<"buyer:customer!inner(name,id)">["buyer"], { readonly name: string; readonly id: number }>,
    true satisfies Same<Of<"lines(sku)">, { readonly lines: readonly { readonly sku: string }[] }>,
    true satisfies Same<Of<"id,lines!inner()">, { readonly id: string }>,
    true satisfies Same<
      Of<"name,orders(id,customer(id),lines(*)),id", "customers">,
      {
        readonly name: string;
        readonly orders: readonly {
          readonly id: string;
          readonly customer: { readonly id: number } | null;
          readonly lines: readonly { readonly order_id: string; readonly sku: string }[];
        }[];
        readonly id: number;
      }
    >,
  );
});

test("where a text has what cannot be read, nothing is known of its rows", () => {
  hold(
    true satisfies Same<Of<"id,total.sum()">, Loose>,
    true satisfies Same<Of<"id,count()">, Loose>,
    true satisfies Same<Of<"id,...customer(name)">, Loose>,
    true satisfies Same<Of<"id,doc->>city">, Loose>,
    true satisfies Same<Of<'id,"a,b"'>, Loose>,
    true satisfies Same<Of<"id,lines(sku">, Loose>,
    true satisfies Same<Of<"id,unheard(of)">, Loose>,
    true satisfies Same<Of<string>, Loose>,
    true satisfies Same<Of<"id,customer(name)", "orders", { views: Views }>, Loose>,
    true satisfies Same<Of<"id", "orders", object>, Loose>,
    // What is embedded may be unknown while the row is not.
    true satisfies Same<Of<"id,lines(count())">, { readonly id: string; readonly lines: readonly Loose[] }>,
    true satisfies Same<Of<"id,town:doc->>city">, { readonly id: string; readonly town: unknown }>,
  );
});

test("a client's reads are typed by them, alone and with others", async () => {
  await using server = await ScriptedServer.open();
  const row = { id: "1", customer: { name: "Ada" } };
  server.answers(json([row]), json([row]), json({ token: "t", results: [{ rows: [row], next: null }] }), json([]));
  const { view, read } = connect<{ views: Views; relations: Relations }>(server.url);
  const [first] = await view("orders").rows({ select: "id,customer(name)" });
  const name: string | undefined = first?.customer?.name;
  assert.equal(name, "Ada");
  // @ts-expect-error It is not selected.
  assert.equal(first?.total, undefined);
  // Who says it otherwise is believed.
  const [own] = await view("orders").rows<{ customer: { name: "Ada" } }>({ select: "id,customer(name)" });
  assert.equal(own?.customer.name satisfies "Ada" | undefined, "Ada");
  const { results } = await read([{ view: "orders", select: "id,customer(name)" }]);
  const other: string | undefined = results[0][0]?.customer?.name;
  assert.equal(other, "Ada");
  const untyped = await connect(server.url).view("orders").rows({ select: "id,customer(name)" });
  hold(true satisfies Same<(typeof untyped)[number], Loose>);
});
