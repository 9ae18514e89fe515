/** A compiled view in words: what it reads, how each change reaches it, and what that costs. */
import type { Conjunct, Occurrence } from "./bound.ts";
import { usedColumns } from "./contribution.ts";
import { type JoinStep, joinOrder } from "./join-order.ts";
import type { Plan } from "./plan.ts";
import { tableLabel } from "./tables.ts";
import { timeWords } from "./temporal.ts";
import type { Term } from "./terms.ts";

export function explainPlan(plan: Plan, key: readonly string[] | null, terms: readonly Term[]): string {
  const sets = 1 + Math.max(...plan.branches.map((branch) => branch.set));
  const parts = plan.branches.length / sets;
  const many = `${parts > 1 ? `, ${parts} parts added up` : ""}${sets > 1 ? `, ${sets} grouping sets, each as follows` : ""}`;
  const lines = [
    `class: ${plan.class}${many}`,
    keyLine(key),
    keptLine(plan),
    "reads:",
    ...readLines(plan),
    "on a change of:",
    ...terms.filter((term) => plan.branches[term.branch]?.set === 0).map((term) => termLine(plan, term, parts)),
    ...timeLines(plan.branches.filter(({ set }) => set === 0).flatMap(({ conjuncts }) => conjuncts)),
  ];
  return `${lines.join("\n")}\n`;
}

/** What lets rows in and out when nothing but time passes. */
export function timeLines(conjuncts: readonly Conjunct[]): string[] {
  const lines = conjuncts.flatMap((one) => (one.time === undefined ? [] : [`  ${timeWords(one, one.time)}`]));
  return lines.length === 0 ? [] : ["rows come and go by time:", ...new Set(lines)];
}

export function keyLine(key: readonly string[] | null): string {
  if (key === null) return "key: none, each row as often as it is there";
  return `key: ${key.length === 0 ? "none, exactly one row" : key.join(", ")}`;
}

function keptLine(plan: Plan): string {
  if (plan.class === "linear") return "kept: its rows";
  const counted = { count: 0, sum: 0, avg: 0 };
  for (const aggregate of plan.aggregates) counted[aggregate.function]++;
  const kinds = Object.entries(counted).filter(([, times]) => times > 0);
  const what = kinds.map(([name, times]) => `${times} ${name}`).join(", ");
  return `kept: per group ${what === "" ? "its rows' number" : what}${plan.having === null ? "" : "; groups that having hides are kept, not shown"}`;
}

function readLines(plan: Plan): string[] {
  const used = new Map<string, Set<string>>();
  plan.branches.forEach((branch, b) => {
    for (const occurrence of branch.occurrences) {
      const label = tableLabel(occurrence.mirror);
      const columns = used.get(label) ?? new Set();
      for (const column of usedColumns(plan, b, occurrence)) columns.add(column);
      used.set(label, columns);
    }
  });
  return [...used]
    .sort()
    .map(([label, columns]) => `  ${label} (${columns.size === 0 ? "its rows' number" : [...columns].join(", ")})`);
}

function termLine(plan: Plan, term: Term, parts: number): string {
  const branch = plan.branches[term.branch];
  if (branch === undefined) return "";
  const part = parts > 1 ? `part ${term.branch + 1}: ` : "";
  const words = termWords(term.occurrence, joinOrder(branch, term.occurrence));
  return `  ${part}${words}; ${term.place} the mirror is written`;
}

/** Which tables a change meets, and how. */
export function termWords(changed: Occurrence, steps: readonly JoinStep[]): string {
  const met = steps.map((step) => {
    const reached =
      step.probes.length === 0
        ? "by reading it whole, for each change"
        : `by ${step.byPrimaryKey ? "its primary key" : `an index on (${step.probes.join(", ")})`}`;
    return `then ${named(step.occurrence)} ${reached}`;
  });
  return [named(changed), ...met].join(", ");
}

function named({ mirror, alias }: Occurrence): string {
  const label = tableLabel(mirror);
  return label === alias || label.endsWith(`.${alias}`) ? label : `${label} as ${alias}`;
}
