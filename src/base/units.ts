/** Durations and sizes as people write them: `500ms`, `30s`, `5m`, `7d`; `512B`, `64KB`, `10MB`, `1GB` (powers of 1024). */
import { MillraceError } from "./errors.ts";

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizeUnits: Readonly<Record<string, number>> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };

/** In milliseconds. Throws `SETTING_INVALID`, naming the setting. */
export function parseDurationMs(text: unknown, setting: string): number {
  return parse(text, setting, durationUnits, "30s, 500ms or 7d");
}

/** In bytes. Throws `SETTING_INVALID`, naming the setting. */
export function parseSizeBytes(text: unknown, setting: string): number {
  return parse(text, setting, sizeUnits, "10MB or 64KB");
}

function parse(text: unknown, setting: string, units: Readonly<Record<string, number>>, example: string): number {
  const match = typeof text === "string" ? /^(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]+)$/.exec(text.trim()) : null;
  const unit = match && Object.hasOwn(units, match[2] as string) ? units[match[2] as string] : undefined;
  if (!match || unit === undefined) {
    throw new MillraceError(
      "SETTING_INVALID",
      `${setting} is ${JSON.stringify(text)}, which has no unit that is known`,
      {
        hint: `Write it as ${example}.`,
        details: { setting },
      },
    );
  }
  return Math.round(Number(match[1]) * unit);
}

/** As `parseDurationMs` reads it, in the largest unit that it is a whole number of: 604800000 is `7d`. */
export function printDuration(ms: number): string {
  const [unit, size] = Object.entries(durationUnits).findLast(([, one]) => ms >= one && ms % one === 0) ?? ["ms", 1];
  return `${ms / size}${unit}`;
}

/** As `parseSizeBytes` reads it, in the largest unit that divides it: 10485760 is `10MB`. */
export function printSize(bytes: number): string {
  const [unit, size] = Object.entries(sizeUnits).findLast(([, one]) => bytes >= one && bytes % one === 0) ?? ["B", 1];
  return `${bytes / size}${unit}`;
}
