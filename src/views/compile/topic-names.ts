/** The topics that a view's SQL names. */
import { topicsSource } from "../../catalog/topic-table.ts";
import { isTable, walk } from "./inlining.ts";

interface TopicName {
  readonly name: string;
  /** A byte position in the text. */
  readonly at: number | undefined;
}

/** Each place in FROM; `topics.public.payments` is a spelling as well. */
export function topicsNamed(statement: object): TopicName[] {
  const found: TopicName[] = [];
  walk(statement, (node) => {
    if (!isTable(node)) return;
    const { catalogname, schemaname, relname, location: at } = node;
    if ((catalogname ?? schemaname) !== topicsSource || (catalogname !== undefined && schemaname !== "public")) return;
    found.push({ name: relname, at });
  });
  return found;
}
