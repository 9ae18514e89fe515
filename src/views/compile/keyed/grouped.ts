/**
 * Grouping sets that are recomputed by key. Rows of each set are traced by its expressions, and a hidden `grouping()` of all
 * of them tells the sets apart: a NULL of the data is no expression that is left out. The planner pushes no condition into
 * a query with grouping sets, so the keys are put into its WHERE, for one set at a time: the query then groups the rows of
 * those keys in every set, of which the others are left out.
 */
import type { Node, SelectStmt } from "@pgsql/types";
import type { ScanToken } from "libpg-query";
import { type BlockText, blockText, closing, listed } from "../block-text.ts";
import { groupedExpressions } from "../grouping-sets.ts";
import { isKeyword, type SourceText } from "../source-text.ts";
import { Untraceable } from "./alternative.ts";
import type { Replacements } from "./gathered.ts";
import { hiddenColumns } from "./hidden-key.ts";
import type { GroupingMember, TracedQuery } from "./traced.ts";

/** `grouping()` takes no more. */
const expressionsMax = 31;

export interface GroupedKey {
  /** With the hidden columns behind those of the select list, the first of which is the `grouping()`. */
  readonly select: SelectStmt;
  readonly labels: readonly string[];
  /** For the text of the query that has them. */
  readonly replacements: Replacements;
  /** What is grouped by, as SQL, by its key. */
  readonly texts: ReadonlyMap<string, string>;
  /** Puts a condition of rows into its WHERE. */
  readonly filtered: (condition: string) => Replacements;
}

/** Throws `Untraceable` where its text cannot be told apart. */
export function groupedKey(
  source: SourceText,
  { sets }: TracedQuery,
  replacements: ReadonlyMap<number, { readonly end: number; readonly text: string }>,
): GroupedKey {
  const select = source.statement;
  // Another column would make other rows of DISTINCT.
  if (select.distinctClause !== undefined) throw new Untraceable("it hides what tells its grouping sets apart");
  const block = blockText(source);
  const members = membersOf(sets ?? []);
  // What is grouped by nothing, several times, has no groups to be put together from.
  if (block?.group === null || block === null || members.length === 0 || members.length > expressionsMax)
    throw new Untraceable("the text of its grouping sets is not told apart");
  const written = writtenExpressions(select, block);
  const texts = new Map(
    members.map((member) => {
      const words =
        member.node === member.written ? written.get(member.node) : wordsOfTarget(member.node, select, block);
      const [first, last] = [words?.[0], words?.at(-1)];
      if (first === undefined || last === undefined) throw new Untraceable("a group's expression is not told apart");
      return [member.key, `(${source.rewritten(replacements, { start: first.start, end: last.end })})`];
    }),
  );
  const unshown = members.filter(({ position }) => position < 0);
  const args = members.map(({ node }) => node);
  const hidden = hiddenColumns(select, [{ GroupingFunc: { args } }, ...unshown.map(({ node }) => node)], block.from, [
    `grouping(${members.map(({ key }) => texts.get(key)).join(", ")})`,
    ...unshown.map(({ key }) => texts.get(key) ?? ""),
  ]);
  const { where, group } = block;
  return {
    ...hidden,
    labels: ["grouping", ...unshown.map(({ key }) => texts.get(key)?.slice(1, -1) ?? "")],
    texts,
    filtered: (condition) =>
      where === null
        ? new Map([[group.start, { end: group.end, text: `where ${condition} ${group.text}` }]])
        : new Map([
            [where.start, { end: where.end, text: `where ${condition} and (` }],
            [group.start, { end: group.end, text: `) ${group.text}` }],
          ]),
  };
}

/** All that is grouped by, each once, in the order in which sets name it. */
export function membersOf(sets: NonNullable<TracedQuery["sets"]>): GroupingMember[] {
  const all = new Map(sets.flatMap(({ members }) => members.map((one) => [one.key, one])));
  return [...all.values()];
}

function writtenExpressions(select: SelectStmt, block: BlockText): ReadonlyMap<Node, readonly ScanToken[]> {
  const quantified = isKeyword(block.groups, 0, "distinct", "all");
  const texts = expressionsIn(quantified ? block.groups.slice(1) : block.groups);
  const nodes = groupedExpressions(select);
  if (texts.length !== nodes.length) return new Map();
  return new Map(nodes.map((node, i) => [node, texts[i] ?? []]));
}

/** As `groupedExpressions` takes them from the AST. */
function expressionsIn(words: readonly ScanToken[]): (readonly ScanToken[])[] {
  return listed(words).flatMap((item) => {
    const sets = isKeyword(item, 0, "grouping") && isKeyword(item, 1, "sets") ? 2 : 0;
    const rest = item.slice(isKeyword(item, 0, "rollup", "cube") ? 1 : sets);
    const enclosed = rest[0]?.text === "(" && closing(rest, 0) === rest.length - 1;
    return enclosed ? expressionsIn(rest.slice(1, -1)) : [item];
  });
}

/** An item of the select list, which GROUP BY names or counts to, without its alias. */
function wordsOfTarget(node: Node, select: SelectStmt, { items }: BlockText): readonly ScanToken[] | undefined {
  const targets = select.targetList ?? [];
  const place = targets.findIndex((target) => "ResTarget" in target && target.ResTarget.val === node);
  const target = targets[place];
  const words = items[place];
  if (target === undefined || !("ResTarget" in target) || words === undefined || items.length !== targets.length)
    return undefined;
  const from = isKeyword(words, 0, "all") ? 1 : 0;
  if (target.ResTarget.name === undefined) return words.slice(from);
  return words.slice(from, isKeyword(words, words.length - 2, "as") ? -2 : -1);
}

/** What `grouping()` of all that is grouped by is in the set with these members. */
export function bitsOf(all: readonly GroupingMember[], members: readonly GroupingMember[]): number {
  return all.reduce((sum, { key }) => sum * 2 + (members.some((one) => one.key === key) ? 0 : 1), 0);
}

export function leftOut(all: readonly GroupingMember[], members: readonly GroupingMember[]): GroupingMember[] {
  return all.filter(({ key }) => !members.some((one) => one.key === key));
}
