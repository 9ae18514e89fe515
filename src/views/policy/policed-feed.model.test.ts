/**
 * The law of policies: what a caller is shown are the rows of the view that the policy lets it see, in every read, and what it
 * follows from any moment on comes to the same rows, whichever rows come to be its own and cease to be.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { column, GroupFixture } from "../reader-fixture.ts";
import type { ChangesAnswer, RowQuery } from "../view-info.ts";
import type { Caller, Claims } from "./caller.ts";

type Row = {
  readonly id: number;
  readonly owner: number | null;
  readonly team: string | null;
  readonly open: boolean;
};

interface Policy {
  readonly text: string;
  readonly shows: (row: Row, claims: Claims) => boolean;
}

const own = ({ owner }: Row, { sub }: Claims) => owner !== null && String(owner) === sub;
const ofTeam = ({ team }: Row, { teams }: Claims) => team !== null && Array.isArray(teams) && teams.includes(team);

const policies: readonly Policy[] = [
  { text: "owner = claim('sub')", shows: own },
  { text: "team = any(claims('teams'))", shows: ofTeam },
  {
    text: "owner = claim('sub') or team = any(claims('teams')) and open",
    shows: (row, claims) => own(row, claims) || (ofTeam(row, claims) && row.open),
  },
  {
    text: "open and coalesce(owner, 0) <> coalesce(claim('sub')::int, 0)",
    shows: (row, { sub }) => row.open && (row.owner ?? 0) !== Number(sub ?? 0),
  },
  { text: "open or claim('admin')::bool", shows: (row, { admin }) => row.open || admin === true },
];

const callers: readonly Claims[] = [
  { sub: "1" },
  { sub: "2", teams: ["red", "blue"] },
  { teams: ["blue"], admin: true },
  { sub: "3", teams: [], admin: false },
  {},
];

const columns = [
  column("id", "integer"),
  column("owner", "integer", true),
  column("team", "text", true),
  column("open", "boolean"),
];
const everything: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };
const seedFirst = Number(process.env.MILLRACE_TEST_SEED ?? 1);
const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 5);

test("a caller is shown what a naive look at all rows lets it see, read and followed", async () => {
  await using fixture = await GroupFixture.open();
  for (let run = 0; run < runs; run++) {
    const seed = seedFirst + run;
    const policy = policies[seed % policies.length] as Policy;
    await check(fixture, seed, policy).catch((cause) => assert.fail(new Error(`seed ${seed}`, { cause })));
  }
});

test("a canary: a policy that lets more through, or less, is seen", async () => {
  await using fixture = await GroupFixture.open();
  for (const [i, text] of ["true", "false", "owner = claim('sub') and open"].entries()) {
    await assert.rejects(check(fixture, i, { text, shows: own }), assert.AssertionError, text);
  }
});

async function check(fixture: GroupFixture, seed: number, policy: Policy): Promise<void> {
  const random = seededRandom(seed);
  const view = `orders_${seed}`;
  await fixture.createView(view, { columns, key: ["id"], policy: policy.text });
  const reader = fixture.reader();
  const rows = new Map<number, Row>();
  const followed = callers.map(() => new Map<string, string>());
  const bearers = callers.map((claims): Caller => ({ kind: "bearer", claims }));
  let position = fixture.group.position();
  for (let step = 0; step < 5; step++) {
    for (let batches = 1 + random.below(3); batches > 0; batches--) await commit();
    const shared = await reader.changesSinceEach(
      view,
      position,
      callers.map(() => null),
      null,
      bearers,
    );
    for (const [i, claims] of callers.entries()) {
      const asCaller = reader.as(bearers[i] as Caller);
      const alone = await asCaller.changesSince(view, position, null);
      assert.deepEqual(shared?.[i], alone, "followed together and alone");
      apply(followed[i] as Map<string, string>, alone);
      const expected = [...rows.values()].filter((row) => policy.shows(row, claims)).map((row) => JSON.stringify(row));
      const answer = await asCaller.rows(view, { ...everything, count: "exact" });
      assert.deepEqual([...answer.rows].sort(), expected.sort(), `${policy.text} for ${JSON.stringify(claims)}`);
      assert.equal(answer.total, expected.length);
      assert.deepEqual([...(followed[i] ?? new Map()).values()].sort(), expected, "what was followed");
    }
    position = fixture.group.position();
  }

  async function commit(): Promise<void> {
    const upsert = Array.from(
      { length: random.below(4) },
      (): Row => ({
        id: random.below(6),
        owner: [null, 1, 2, 3][random.below(4)] ?? null,
        team: [null, "red", "blue"][random.below(3)] ?? null,
        open: random.below(2) === 0,
      }),
    );
    const changed = [...new Map(upsert.map((row) => [row.id, row])).values()];
    const remove = [{ id: random.below(6) }].filter(
      ({ id }) => random.below(2) === 0 && changed.every((row) => row.id !== id),
    );
    for (const row of changed) rows.set(row.id, row);
    for (const { id } of remove) rows.delete(id);
    await fixture.commit(view, { upsert: changed, remove });
  }
}

function apply(state: Map<string, string>, answer: ChangesAnswer): void {
  assert.ok(answer.outcome === "changes");
  for (const { op, key, row } of answer.batches.flatMap((batch) => batch.changes)) {
    if (op === "delete") assert.ok(state.delete(String(key)), "what goes was there");
    else state.set(String(key), String(row));
  }
}
