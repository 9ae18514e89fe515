/**
 * Tokens: what a write answers and a read accepts, and what a feed's `id` says. To a client they are opaque.
 *
 * Form: base64url (no padding) of a version byte, a kind byte and the kind's fields. Numbers are unsigned LEB128 below
 * 2^53, texts are their length in bytes and UTF-8. One position has one spelling: what does not print back to the same
 * text is `TOKEN_INVALID`.
 */
import { MillraceError } from "../base/errors.ts";
import type { GroupPosition } from "../views/view-info.ts";

export interface GroupToken extends GroupPosition {
  readonly kind: "group";
}

/** All records below these offsets; also the cursor of a topic's readers, who read on from them. */
export interface TopicToken {
  readonly kind: "topic";
  readonly topic: string;
  /** Another topic of the same name has another id. */
  readonly topicId: string;
  /** By partition, ascending, each once. */
  readonly positions: readonly { readonly partition: number; readonly offset: number }[];
}

export interface SourceToken {
  readonly kind: "source";
  readonly source: string;
  /** As the source prints it: `0/16B3748`. */
  readonly lsn: string;
}

export type Token = GroupToken | TopicToken | SourceToken;

/** The `id` of a view's frame: a whole batch, or the first `frame` frames of it (counted from 1). */
export interface FeedPosition extends GroupPosition {
  readonly frame: number | null;
}

const versionByte = 1;
const kindBytes = { group: 1, topic: 2, source: 3 } as const;
const tokenLengthMax = 16_384;

export function encodeToken(token: Token): string {
  const out: number[] = [versionByte, kindBytes[token.kind]];
  switch (token.kind) {
    case "group":
      putNumber(out, token.generation);
      putNumber(out, token.batch);
      break;
    case "topic":
      putText(out, token.topic);
      putText(out, token.topicId);
      putNumber(out, token.positions.length);
      for (const { partition, offset } of token.positions) {
        putNumber(out, partition);
        putNumber(out, offset);
      }
      break;
    case "source":
      putText(out, token.source);
      putText(out, token.lsn);
      break;
  }
  return Buffer.from(out).toString("base64url");
}

/** Throws `TOKEN_INVALID` on anything that `encodeToken` does not print. */
export function decodeToken(text: string): Token {
  if (text.length > tokenLengthMax || !/^[A-Za-z0-9_-]+$/.test(text)) throw invalid(text);
  const reader = new Reader(Buffer.from(text, "base64url"));
  const token = readToken(reader);
  if (!token || reader.failed || encodeToken(token) !== text) throw invalid(text);
  return token;
}

export function encodeFeedId(position: FeedPosition): string {
  const whole = `${position.generation}.${position.batch}`;
  return position.frame === null ? whole : `${whole}.${position.frame}`;
}

/** Throws `TOKEN_INVALID`. */
export function decodeFeedId(text: string): FeedPosition {
  const match = /^(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})(?:\.([1-9]\d{0,15}))?$/.exec(text);
  const [generation, batch, frame] = [Number(match?.[1]), Number(match?.[2]), Number(match?.[3] ?? 0)];
  if (!match || ![generation, batch, frame].every(Number.isSafeInteger)) {
    throw new MillraceError("TOKEN_INVALID", `${quoteShort(text)} is no id of this feed`, {
      hint: "Resume with the id of the last event, as it was sent, or leave Last-Event-ID out to begin with a snapshot.",
    });
  }
  return { generation, batch, frame: match[3] === undefined ? null : frame };
}

function readToken(reader: Reader): Token | undefined {
  if (reader.byte() !== versionByte) return undefined;
  switch (reader.byte()) {
    case kindBytes.group:
      return { kind: "group", generation: reader.number(), batch: reader.number() };
    case kindBytes.topic: {
      const topic = reader.text();
      const topicId = reader.text();
      const count = reader.number();
      const positions: { partition: number; offset: number }[] = [];
      for (let i = 0; i < count && !reader.failed; i++) {
        const position = { partition: reader.number(), offset: reader.number() };
        if (position.partition <= (positions.at(-1)?.partition ?? -1)) return undefined;
        positions.push(position);
      }
      return { kind: "topic", topic, topicId, positions };
    }
    case kindBytes.source:
      return { kind: "source", source: reader.text(), lsn: reader.text() };
    default:
      return undefined;
  }
}

function putNumber(out: number[], value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no position`);
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
}

function putText(out: number[], text: string): void {
  const bytes = Buffer.from(text);
  putNumber(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

class Reader {
  failed = false;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) this.failed = true;
    return byte ?? 0;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 56 && !this.failed; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) this.failed = true;
        return this.failed ? 0 : value;
      }
    }
    this.failed = true;
    return 0;
  }

  text(): string {
    const length = this.number();
    if (this.#at + length > this.#bytes.length) this.failed = true;
    if (this.failed) return "";
    this.#at += length;
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }
}

function invalid(text: string): MillraceError {
  return new MillraceError("TOKEN_INVALID", `${quoteShort(text)} is no token`, {
    hint: "Pass the token as it was answered in Millrace-Token, or leave it out.",
  });
}

function quoteShort(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
