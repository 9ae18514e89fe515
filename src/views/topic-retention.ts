/**
 * Views over topics whose records the log lets go: what they are made of could not be read again, so that a definition
 * has to say that it is meant. Found from definitions alone, before anything is kept or thrown away for them.
 */
import { MillraceError } from "../base/errors.ts";
import { isOnlyCopy, type ViewDefinition } from "../catalog/definitions.ts";
import type { TopicRetention, TopicRetentions } from "../catalog/topic-retentions.ts";
import { recordAgesMs } from "./compile/record-age.ts";
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
  if (source === null) return null;
  // A row of a window stays, and is made of records that no condition of the query is asked about.
  const ages = view.window === undefined ? recordAgesMs(source.statement) : new Map<number, number>();
  const expiring = topicsNamed(source.statement).find(({ name, at = -1 }) => {
    const retention = retentions.get(name);
    return retention !== undefined && !isYounger(ages.get(at), retention);
  });
  if (expiring === undefined) return null;
  const { name, at } = expiring;
  const { told = "", youngerMs = null } = retentions.get(name) ?? {};
  return source.refusal("VIEW_TOPIC_RETENTION", `it reads topic "${name}", of which the log keeps ${told}`, {
    at,
    hint: `${waysOut(youngerMs)} Or say that the store may be the only copy of what the log has let go: view("${view.name}", …, { history: "store" }), and back the store up.`,
    details: { topic: name, retention: told },
  });
}

/** What the log lets go has left the view before: it is the same again when it is read from what the log has. */
function isYounger(ageMs: number | undefined, { youngerMs }: TopicRetention): boolean {
  return ageMs !== undefined && youngerMs !== null && ageMs <= youngerMs;
}

function waysOut(youngerMs: number | null): string {
  const forever = 'Keep the topic for ever (retention: "forever", and no retentionSize).';
  if (youngerMs === null) return forever;
  const seconds = Math.max(1, Math.floor(youngerMs / 1_000));
  const interval = seconds % 86_400 === 0 ? `${seconds / 86_400} days` : `${seconds} seconds`;
  return `Take only records that the log still has, where the topic stands in FROM: where _time > now() - interval '${interval}'. ${forever}`;
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
