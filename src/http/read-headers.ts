/** What an answer says of how it was read: `Millrace-Warning` and `Millrace-Suggestion`, lists of structured fields (RFC 9651), and `Millrace-Stale`. */
import type { GroupPosition, UnindexedRead } from "../views/view-info.ts";
import { groupToken } from "./read-token.ts";

/** One of the reads of an answer; `read` is its place among several. */
export interface ReadOfAnswer {
  readonly view: string;
  readonly unindexed?: UnindexedRead | undefined;
  readonly read?: number;
}

/** Of one answer: proxies and clients bound what all headers have together. */
const warningsMax = 8;

/** The header with a warning for each read that no index served; none when all were. */
export function warningHeaders(reads: readonly ReadOfAnswer[]): Record<string, string> {
  const warnings = reads.flatMap(({ view, unindexed, read }) => {
    if (unindexed === undefined) return [];
    const { filtered, ordered, option } = unindexed;
    const members: readonly (readonly [name: string, value: string | null])[] = [
      ["view", view],
      ["filtered", filtered.length === 0 ? null : filtered.join(", ")],
      ["ordered", ordered.length === 0 ? null : ordered.join(", ")],
      ["option", option],
    ];
    const parameters = members.map(([name, value]) => (value === null ? "" : `;${name}=${structuredText(value)}`));
    return [`read-without-index${read === undefined ? "" : `;read=${read}`}${parameters.join("")}`];
  });
  return warnings.length === 0 ? {} : { "millrace-warning": warnings.slice(0, warningsMax).join(", ") };
}

/** Other words for a search that found nothing, as a list of structured fields. */
export function suggestionHeaders(suggestions: readonly string[] = []): Record<string, string> {
  return suggestions.length === 0 ? {} : { "millrace-suggestion": suggestions.map(structuredText).join(", ") };
}

/** The time since which what was read may be wrong; none where all is right. */
export function staleHeaders(reads: readonly { readonly staleSinceMs?: number }[]): Record<string, string> {
  const times = reads.flatMap((one) => one.staleSinceMs ?? []);
  return times.length === 0 ? {} : { "millrace-stale": new Date(Math.min(...times)).toISOString() };
}

/** A string, or a display string where it has characters beyond ASCII. */
export function structuredText(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return `"${text.replace(/["\\]/g, "\\$&")}"`;
  const bytes = [...Buffer.from(text)].map((byte) => {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x22 && byte !== 0x25;
    return plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
  });
  return `%"${bytes.join("")}"`;
}

/** What the rows show, and their tag: the same ones have the same. */
export function readHeaders(position: GroupPosition, tag: string): Record<string, string> {
  return { "millrace-token": groupToken(position), etag: `W/"${tag}"`, "cache-control": "no-cache" };
}
