/** JSON forms of Google's well-known types (the mapping of proto3). */
import { ProtoFault } from "./proto-bytes.ts";

const wrappers: ReadonlySet<string> = new Set(
  "Double Float Int64 UInt64 Int32 UInt32 Bool String Bytes".split(" ").map((name) => `google.protobuf.${name}Value`),
);

const secondsMin = -62_135_596_800;
const secondsMax = 253_402_300_799;
const durationSecondsMax = 315_576_000_000;

/**
 * `members` are JSON texts by name. Null for a message that has no form of its own. `any` prints what an Any holds, or
 * null. Throws `ProtoFault` when the message has no JSON, as a time past the year 9999.
 */
export function wellKnownJson(
  fullName: string,
  members: ReadonlyMap<string, string>,
  any: (url: string, value: Buffer) => string | null,
): string | null {
  if (!fullName.startsWith("google.protobuf.")) return null;
  if (wrappers.has(fullName)) return members.get("value") ?? "null";
  switch (fullName) {
    case "google.protobuf.Timestamp":
      return timestamp(members);
    case "google.protobuf.Duration":
      return duration(members);
    case "google.protobuf.FieldMask":
      return fieldMask(members);
    case "google.protobuf.Struct":
      return members.get("fields") ?? "{}";
    case "google.protobuf.ListValue":
      return members.get("values") ?? "[]";
    case "google.protobuf.Value":
      return [...members.values()][0] ?? "null";
    case "google.protobuf.Any":
      return anyJson(members, any);
    default:
      return null;
  }
}

function secondsAndNanos(members: ReadonlyMap<string, string>): { readonly seconds: number; readonly nanos: number } {
  return {
    seconds: Number((members.get("seconds") ?? "0").replaceAll('"', "")),
    nanos: Number(members.get("nanos") ?? 0),
  };
}

function timestamp(members: ReadonlyMap<string, string>): string {
  const { seconds, nanos } = secondsAndNanos(members);
  if (seconds < secondsMin || seconds > secondsMax || nanos < 0 || nanos > 999_999_999) {
    throw new ProtoFault("a timestamp lies outside of the years 1 to 9999");
  }
  return JSON.stringify(`${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction(nanos)}Z`);
}

function duration(members: ReadonlyMap<string, string>): string {
  const { seconds, nanos } = secondsAndNanos(members);
  const mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
  if (Math.abs(seconds) > durationSecondsMax || Math.abs(nanos) > 999_999_999 || mixed) {
    throw new ProtoFault("a duration is out of range");
  }
  const sign = seconds < 0 || nanos < 0 ? "-" : "";
  return JSON.stringify(`${sign}${Math.abs(seconds)}${fraction(Math.abs(nanos))}s`);
}

/** Three, six or nine digits, or none. */
function fraction(nanos: number): string {
  if (nanos === 0) return "";
  const digits = String(nanos).padStart(9, "0");
  return `.${digits.replace(/(?:000){1,2}$/, "")}`;
}

function fieldMask(members: ReadonlyMap<string, string>): string {
  const paths = JSON.parse(members.get("paths") ?? "[]") as string[];
  return JSON.stringify(
    paths.map((path) => path.replace(/_([a-z])/g, (_, next: string) => next.toUpperCase())).join(","),
  );
}

function anyJson(members: ReadonlyMap<string, string>, any: (url: string, value: Buffer) => string | null): string {
  const url = JSON.parse(members.get("typeUrl") ?? '""') as string;
  const value = members.get("value") ?? '""';
  const text = any(url, Buffer.from(JSON.parse(value) as string, "base64"));
  const type = `"@type":${JSON.stringify(url)}`;
  if (text === null) return `{${type},"value":${value}}`;
  if (!text.startsWith("{")) return `{${type},"value":${text}}`;
  return text === "{}" ? `{${type}}` : `{${type},${text.slice(1)}`;
}
