/** How fast is a graph of a million edges walked, compared with one recursive query? */
import { seededRandom } from "../../src/base/random.ts";
import type { GraphQuery } from "../../src/views/walk/graph-query.ts";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { askInTurn, withSearchedView } from "./support/searched-view.ts";

const sizes = {
  full: { nodes: 200_000, edges: 1_000_000, questions: 100 },
  tiny: { nodes: 50, edges: 200, questions: 2 },
} as const;

async function run(size: BenchmarkSize, progress: Progress) {
  const { nodes, edges, questions } = sizes[size];
  const random = seededRandom(1);
  const node = () => String(1 + random.below(nodes));
  const table = {
    columns:
      "split_part(u.text, ' ', 1)::bigint as a, split_part(u.text, ' ', 2)::bigint as b, split_part(u.text, ' ', 3)::integer as cost",
    options: { graph: { from: "a", to: "b", weight: "cost" } },
    texts: Array.from({ length: edges }, () => `${node()} ${node()} ${1 + random.below(100)}`),
  };
  const asked = Array.from({ length: questions }, () => ({ from: node(), to: node() }));
  const all = { direction: "out", labels: null, filter: null, nodesMax: 100_000, hops: null } as const;
  return await withSearchedView(table, progress, async ({ reader, bare, buildS }) => {
    await bare.query("set jit = off");
    const ask = async (query: GraphQuery) => {
      const answer = await reader.graph("found", query);
      return answer.kind === "path" ? answer.edges.length : answer.items.length;
    };
    const [reach, plain, shortest, cheapest] = await askInTurn(asked, {
      "within 4 hops": ({ from }) => ask({ kind: "reach", ...all, of: from, hops: 4 }),
      "recursive query": async ({ from }) => {
        const sql =
          "with recursive met(node, hops) as (select $1::bigint, 0 union select f.b, m.hops + 1 from met m " +
          "join views.found f on f.a = m.node where m.hops < 4) select node, min(hops) from met group by node";
        return (await bare.query(sql, [from])).rows.length - 1;
      },
      "shortest path": ({ from, to }) => ask({ kind: "path", ...all, by: "hops", from, to }),
      "cheapest path": ({ from, to }) => ask({ kind: "path", ...all, by: "weight", from, to }),
    });
    if (!reach || !plain || !shortest || !cheapest) throw new Error("nothing was asked");
    return {
      results: [{ ...reach, details: { ...reach.details, buildS } }, plain, shortest, cheapest],
      bound: "recursive query",
    } as const;
  });
}

export const benchmark: Benchmark = {
  question: "How fast is a graph of a million edges walked?",
  method:
    "edges between two of 200,000 nodes at random, with weights from 1 to 100; what can be reached from a random node in 4 edges, and paths between two random nodes; by the reader of views in this process, against one recursive query by a bare client on the same view; one after the other in turn, embedded PostgreSQL",
  notMeasured: "HTTP; many readers at once; writes at the same time; graphs with hubs; more rows than fit into memory",
  run,
};
