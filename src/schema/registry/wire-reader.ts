/**
 * Bytes in the wire format of registry clients as JSON, for those who read topics: views, feeds, pages of events. It is one
 * form, whatever the type of the schema.
 *
 * Avro: values of unions stand as they are, a `long` is a text (as int64 is in Protobuf's JSON), `bytes` and `fixed` are
 * base64. What a captured table's schema has written is its event's own JSON again (`docs/reference/envelope.md`).
 * JSON is as it was written, and is not checked against its schema: it has been when it was taken.
 */
import { isUtf8 } from "node:buffer";
import type { AvroJsonForm } from "./avro/decode-avro.ts";
import type { DecodedPayload, ParsedSchema } from "./parsed-schema.ts";
import { decodePayload } from "./payload.ts";
import { capturedProp, columnProp } from "./table-schemas.ts";
import { readMessageIndexes, readWire } from "./wire.ts";

export type WireReading =
  | { readonly ok: true; readonly json: string }
  /** A sentence's part that says what is wrong with the bytes. */
  | { readonly ok: false; readonly reason: string };

export interface WireReader {
  /** Null for bytes that are not in the wire format. Never throws. */
  read(bytes: Buffer): WireReading | null;
  /**
   * Null where the schema of the bytes is known, or they have none. Else a promise that resolves when all that was
   * registered by now is known: another process may have registered it a moment ago.
   */
  unread(bytes: Buffer | null): Promise<void> | null;
}

/** Where there is no registry: nothing is in the wire format. */
export const plainReader: WireReader = { read: () => null, unread: () => null };

const capturedForm: AvroJsonForm = {
  unions: "plain",
  longs: "number",
  bytes: "base64",
  floats: "postgres",
  nameProp: columnProp,
};
const otherForm: AvroJsonForm = { unions: "plain", longs: "text", bytes: "base64" };

/** `parsedOf` answers undefined for an id that nobody has registered. */
export function readWireJson(bytes: Buffer, parsedOf: (id: number) => ParsedSchema | undefined): WireReading | null {
  const wire = readWire(bytes);
  if (wire === null) return null;
  const schema = parsedOf(wire.id);
  if (schema === undefined) return { ok: false, reason: `no schema has the id ${wire.id}` };
  if (schema.type === "JSON") return jsonReading(wire.payload);
  if (schema.type === "AVRO") return readingOf(decodePayload(schema, wire.payload, avroFormOf(schema)));
  const message = readMessageIndexes(wire.payload);
  if (message === null) return { ok: false, reason: "the message indexes before the payload cannot be read" };
  return readingOf(decodePayload(schema, message.payload, { messageIndexes: message.indexes }));
}

function avroFormOf({ root }: Extract<ParsedSchema, { type: "AVRO" }>): AvroJsonForm {
  return root.kind === "record" && root.props.has(capturedProp) ? capturedForm : otherForm;
}

function jsonReading(payload: Buffer): WireReading {
  if (!isUtf8(payload)) return { ok: false, reason: "the value is not UTF-8" };
  const json = payload.toString();
  try {
    JSON.parse(json);
  } catch {
    return { ok: false, reason: "the value is not JSON" };
  }
  return { ok: true, json };
}

function readingOf(decoded: DecodedPayload): WireReading {
  if (decoded.ok) return decoded;
  const [first] = decoded.problems;
  const place = first?.path ? `${first.path}: ` : "";
  return { ok: false, reason: `${place}${first?.message ?? "it does not fit its schema"}` };
}
