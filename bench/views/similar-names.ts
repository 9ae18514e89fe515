/** How fast are similar names found in a view of a million, compared with the plain index query? */
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { RowQuery } from "../../src/views/view-info.ts";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { askInTurn, withSearchedView } from "./support/searched-view.ts";

const sizes = { full: { rows: 1_000_000, questions: 400 }, tiny: { rows: 300, questions: 3 } } as const;
/** About as a census has them: the most frequent first name is that of 2 %, the most frequent last name of 0.6 %. */
const firstNames = { count: 4_000, head: 8 };
const lastNames = { count: 60_000, head: 20 };
const limit = 100;

const consonants = "bcdfghjklmnprstvwz";
const vowels = "aeiouy";

/** Of two to four syllables. */
function word(random: Random): string {
  let text = "";
  for (let i = 2 + random.below(3); i > 0; i--) {
    text += consonants[random.below(consonants.length)] ?? "";
    text += vowels[random.below(vowels.length)] ?? "";
    if (random.below(3) === 0) text += consonants[random.below(consonants.length)] ?? "";
  }
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The i-th of them is as frequent as 1 / (i + head). */
function draw(random: Random, { count, head }: typeof firstNames): number {
  const share = random.below(1_000_000) / 1_000_000;
  return Math.min(count - 1, Math.floor(head * ((count + head) / head) ** share - head));
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rows, questions } = sizes[size];
  const random = seededRandom(1);
  const first = Array.from({ length: firstNames.count }, () => word(random));
  const last = Array.from({ length: lastNames.count }, () => word(random));
  const names = Array.from({ length: rows }, () => {
    return `${first[draw(random, firstNames)]} ${last[draw(random, lastNames)]}`;
  });
  /** A name of the data with one letter left out. */
  const asked = Array.from({ length: questions }, () => {
    const name = names[random.below(rows)] ?? "";
    const at = 1 + random.below(name.length - 1);
    return (name.slice(0, at) + name.slice(at + 1)).toLowerCase();
  });
  const table = { columns: "u.text as name", options: { fuzzy: ["name"] }, texts: names };
  return await withSearchedView(table, progress, async ({ reader, bare, buildS }) => {
    await bare.query(
      "create schema plain; create extension if not exists pg_trgm schema millrace;" +
        "create table plain.names as select id, n, lower(name) as name from views.found;" +
        "create index on plain.names using gin (name millrace.gin_trgm_ops); analyze plain.names",
    );
    await bare.query("set jit = off");
    await bare.query("set pg_trgm.similarity_threshold = 0.5");
    const query: Omit<RowQuery, "filter"> = { order: [], select: null, limit, offset: 0, cursor: null };
    const [found, plain] = await askInTurn(asked, {
      view: async (text) => {
        const similar = { kind: "similar", column: "name", text, part: false, threshold: 0.5, negated: false } as const;
        return (await reader.rows("found", { ...query, filter: similar })).rows.length;
      },
      "plain query": async (text) => {
        const sql =
          "select id, n, name from plain.names where name operator(millrace.%) $1 order by millrace.similarity(name, $1) desc, id, n limit 100";
        return (await bare.query(sql, [text])).rows.length;
      },
    });
    if (!found || !plain) throw new Error("nothing was asked");
    return {
      results: [{ ...found, details: { ...found.details, buildS } }, plain],
      bound: "plain query",
    } as const;
  });
}

export const benchmark: Benchmark = {
  question: "How fast are names found that are at least half similar, in a view of a million?",
  method:
    "names of a first name (of 4,000) and a last name (of 60,000), made of syllables, the most frequent ones those of 2 % and 0.6 % of all; a name of them with one letter left out is asked for, the 100 most similar come in order; by the reader of views in this process, against the same by a bare client on a table with the same index; one after the other in turn, embedded PostgreSQL",
  notMeasured: "HTTP; many readers at once; writes at the same time; more rows than fit into memory",
  run,
};
