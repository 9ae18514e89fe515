/**
 * Views over topics whose records the log lets go: what they are made of could not be read again, so that a definition
 * has to say that it is meant. Found from definitions alone, before anything is kept or thrown away for them.
 */
import { MillraceError } from "../base/errors.ts";
import { isOnlyCopy, type ViewDefinition } from "../catalog/definitions.ts";
import type { TopicRetentions } from "../catalog/topic-retentions.ts";
import { loadParser, SourceText } from "./compile/source-text.ts";
import { topicsNamed } from "./compile/topic-names.ts";

/** Throws `VIEW_TOPIC_RETENTION` for the first view that has it. */
export async function refuseExpiring(views: readonly ViewDefinition[], retentions: TopicRetentions): Promise<void> {
  const [first] = await retentionErrors(views, retentions);
  if (first) throw first;
}

export async function retentionErrors(
  views: readonly ViewDefinition[],
  retentions: TopicRetentions,
): Promise<MillraceError[]> {
  await loadParser();
  return views.flatMap((view) => retentionError(view, retentions) ?? []);
}

/** Of a view that names such a topic itself; what it reads of other views is theirs to say. `loadParser` must have resolved. */
export function retentionError(view: ViewDefinition, retentions: TopicRetentions): MillraceError | null {
  if (isOnlyCopy(view)) return null;
  const source = parsed(view);
  const expiring = source && topicsNamed(source.statement).find(({ name }) => retentions.has(name));
  if (!expiring) return null;
  const { name, at } = expiring;
  const retention = retentions.get(name);
  return source.refusal("VIEW_TOPIC_RETENTION", `it reads topic "${name}", of which the log keeps ${retention}`, {
    at,
    hint:
      'Keep the topic for ever (retention: "forever", and no retentionSize). Or say that the store may be the only copy of what the log has let go: ' +
      `view("${view.name}", …, { history: "store" }), and back the store up.`,
    details: { topic: name, retention },
  });
}

/** Null where the parser refuses the text: compiling says why. */
function parsed(view: ViewDefinition): SourceText | null {
  try {
    return new SourceText(view.name, view.sql.text);
  } catch (cause) {
    if (MillraceError.is(cause)) return null;
    throw cause;
  }
}
