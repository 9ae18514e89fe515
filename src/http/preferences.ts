/**
 * `Prefer` (RFC 7240) as far as reading rows knows it: `count=exact|planned|estimated` and `handling=strict|lenient`.
 * What is not known is passed over, or refused where handling is strict. Throws `PREFERENCE_INVALID`.
 */
import { MillraceError } from "../base/errors.ts";
import type { CountKind } from "../views/view-info.ts";

export interface Preferences {
  readonly count: CountKind | null;
  /** For `Preference-Applied`; null when nothing was applied. */
  readonly applied: string | null;
}

const known: Readonly<Record<string, readonly string[]>> = {
  count: ["exact", "planned", "estimated"],
  handling: ["strict", "lenient"],
};

export function parsePreferences(header: string | readonly string[] | undefined): Preferences {
  const applied = new Map<string, string>();
  const unknown: string[] = [];
  for (const [name, value] of preferencesOf(header)) {
    if (applied.has(name)) continue;
    if (Object.hasOwn(known, name) && known[name]?.includes(value)) applied.set(name, value);
    else unknown.push(value === "" ? name : `${name}=${value}`);
  }
  if (unknown.length > 0 && applied.get("handling") === "strict") {
    const names = unknown.slice(0, 10).map((one) => JSON.stringify(one.slice(0, 60)));
    throw new MillraceError("PREFERENCE_INVALID", `Prefer names what is not known here: ${names.join(", ")}`, {
      hint: "Known are count=exact, count=planned, count=estimated, handling=strict and handling=lenient.",
    });
  }
  const texts = [...applied].map(([name, value]) => `${name}=${value}`);
  return {
    count: (applied.get("count") as CountKind | undefined) ?? null,
    applied: texts.length === 0 ? null : texts.join(", "),
  };
}

/** Names and values in lower case, without their parameters; the first one of a name counts. */
function preferencesOf(header: string | readonly string[] | undefined): [name: string, value: string][] {
  const text = typeof header === "string" ? header : (header ?? []).join(",");
  return text.split(",").flatMap((one): [string, string][] => {
    const [name = "", value = ""] = (one.split(";")[0] ?? "").split("=", 2).map((part) => part.trim().toLowerCase());
    return name === "" ? [] : [[name, value.replace(/^"(.*)"$/, "$1")]];
  });
}
