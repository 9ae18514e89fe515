/** Payloads of any type of schema: whether one fits, and what it is as JSON. Nothing here throws on bad bytes. */
import { type AvroJsonForm, decodeAvro } from "./avro/decode-avro.ts";
import { validateJson } from "./json/validate-json.ts";
import { throwIfDeeper } from "./json-text.ts";
import type { DecodedPayload, JsonSchema, ParsedSchema, PayloadProblem } from "./parsed-schema.ts";
import { decodeProtobuf } from "./protobuf/decode-protobuf.ts";
import { messageAt } from "./protobuf/proto-file.ts";
import { clipped, payloadBudget, schemaLimits } from "./schema-limits.ts";

/** The form of Avro's values; Avro's own JSON unless said. */
export interface DecodePayloadOptions extends Partial<AvroJsonForm> {
  /** Which message it is (Protobuf); the first unless said. */
  readonly messageIndexes?: readonly number[];
}

/** Without the header of the wire format. Empty when the payload fits. */
export function validatePayload(
  schema: ParsedSchema,
  bytes: Buffer,
  messageIndexes?: readonly number[],
): readonly PayloadProblem[] {
  const decoded = decodePayload(schema, bytes, messageIndexes === undefined ? {} : { messageIndexes });
  return decoded.ok ? [] : decoded.problems;
}

/** Without the header of the wire format. */
export function decodePayload(schema: ParsedSchema, bytes: Buffer, options: DecodePayloadOptions = {}): DecodedPayload {
  const decoded = decode(schema, bytes, options);
  if (decoded.ok) return decoded;
  return {
    ok: false,
    problems: decoded.problems.map(({ path, message }) => ({ path: clipped(path), message: clipped(message) })),
  };
}

function decode(schema: ParsedSchema, bytes: Buffer, options: DecodePayloadOptions): DecodedPayload {
  try {
    if (schema.type === "AVRO") return decodeAvro(schema.root, bytes, { unions: "tagged", ...options });
    if (schema.type === "JSON") return decodeJson(schema, bytes);
    const indexes = options.messageIndexes ?? [0];
    const message = messageAt(schema.model.root, indexes);
    if (message === undefined) return refused(`the schema has no message with the indexes ${indexes.join(", ")}`);
    return decodeProtobuf(schema.model, message, bytes);
  } catch (cause) {
    // Of the stack, or of a text that is longer than a string can be.
    if (cause instanceof RangeError) return refused("the value is larger than can be read");
    throw cause;
  }
}

function decodeJson(schema: JsonSchema, bytes: Buffer): DecodedPayload {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    throwIfDeeper(text, schemaLimits.payloadDepthMax);
    value = JSON.parse(text);
  } catch (cause) {
    return refused(`it is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const problems = validateJson(schema.model, value, payloadBudget(bytes.length));
  return problems.length === 0 ? { ok: true, json: text } : { ok: false, problems };
}

function refused(message: string): DecodedPayload {
  return { ok: false, problems: [{ path: "", message }] };
}
