/** The example of payments, with a vendor that drops, doubles, delays and forges: the view ends as the vendor's truth. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { SourceAnswer } from "../../src/cli/answers.ts";
import { eventually, type Program, runProgram } from "../support/program.ts";

interface Truth {
  readonly data: readonly { readonly customer: string; readonly amount: number; readonly status: string }[];
  readonly resting: boolean;
  readonly counts: Readonly<Record<string, number>>;
}

interface Row {
  readonly customer: string;
  readonly payments: string;
  readonly cents: string;
}

const authorization = "Bearer key_of_the_example";

async function truthOf(program: Program): Promise<Truth> {
  const address = /vendor\s+(http:\S+)/.exec(program.words())?.[1];
  assert.ok(address, program.words());
  return (await (await fetch(`${address}/v1/payments`, { headers: { authorization } })).json()) as Truth;
}

/** The view's query over what the vendor has. */
function rowsOf({ data }: Truth): Row[] {
  const paid = Map.groupBy(
    data.filter(({ status }) => status === "paid"),
    ({ customer }) => customer,
  );
  return [...paid]
    .map(([customer, all]) => {
      const cents = all.reduce((sum, { amount }) => sum + amount, 0);
      return { customer, payments: String(all.length), cents: String(cents) };
    })
    .sort((a, b) => (a.customer < b.customer ? -1 : 1));
}

async function viewOf({ address }: Program): Promise<Row[]> {
  const answer = await fetch(`${address}/v1/views/paid_by_customer?order=customer.asc`);
  return answer.ok ? ((await answer.json()) as Row[]) : [];
}

test("the view of payments is what the vendor says, although its calls are dropped, doubled, delayed and forged", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "millrace-payments-"));
  try {
    const env = { PAYMENTS_RATE: "60", PAYMENTS_MAX: "300" };
    await using program = await runProgram({ script: ["examples/payments/start.ts"], env, data });
    const truth = await eventually(async () => {
      const now = await truthOf(program);
      return now.resting ? now : undefined;
    });
    t.diagnostic(JSON.stringify(truth.counts));
    const { dropped, doubled, delayed, forged, forgedAccepted } = truth.counts;
    assert.ok(
      [dropped, doubled, delayed, forged].every((count) => (count ?? 0) > 5),
      "the vendor is on a bad day",
    );
    const expected = rowsOf(truth);
    await eventually(async () =>
      JSON.stringify(await viewOf(program)) === JSON.stringify(expected) ? true : undefined,
    );
    assert.equal(forgedAccepted, 0);
    const { hook } = (await (await fetch(`${program.address}/v1/sources/payments`)).json()) as SourceAnswer;
    t.diagnostic(JSON.stringify({ ...hook?.reconcile, recent: undefined }));
    assert.equal((hook?.accepted ?? 0) + (hook?.reconcile?.missed ?? 0), truth.counts.events, "each event once");
    assert.ok((hook?.reconcile?.missed ?? 0) >= (dropped ?? 0));
    assert.equal(hook?.reconcile?.altered, 0);
    assert.equal(hook?.refused.signature, forged);
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
});
