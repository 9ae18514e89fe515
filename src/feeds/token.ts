/**
 * Tokens: what a write answers and a read accepts, and what a feed's `id` says. To a client they are opaque.
 *
 * Their form is in `base/token-bytes.ts`. One position has one spelling: what does not print back to the same text is
 * `TOKEN_INVALID`.
 */
import { MillraceError } from "../base/errors.ts";
import { TokenReader, TokenWriter, tokenVersion } from "../base/token-bytes.ts";
import { encodeSourceToken, readSourceToken, type SourcePlace, sourceTokenKinds } from "../catalog/source-token.ts";
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

export interface SourceToken extends SourcePlace {
  readonly kind: "source";
}

export type Token = GroupToken | TopicToken | SourceToken;

/** The `id` of a view's frame: a whole batch, or the first `frame` frames of it (counted from 1). */
export interface FeedPosition extends GroupPosition {
  readonly frame: number | null;
}

const kindBytes = { group: 1, topic: 2, namedGroup: 5 } as const;
const tokenLengthMax = 16_384;

export function encodeToken(token: Token): string {
  switch (token.kind) {
    case "group": {
      const { group, generation, batch } = token;
      const writer =
        group === undefined ? new TokenWriter(kindBytes.group) : new TokenWriter(kindBytes.namedGroup).text(group);
      return writer.number(generation).number(batch).print();
    }
    case "topic": {
      const writer = new TokenWriter(kindBytes.topic).text(token.topic).text(token.topicId);
      writer.number(token.positions.length);
      for (const { partition, offset } of token.positions) writer.number(partition).number(offset);
      return writer.print();
    }
    case "source":
      return encodeSourceToken(token);
  }
}

/** Throws `TOKEN_INVALID` on anything that `encodeToken` does not print. */
export function decodeToken(text: string): Token {
  if (text.length > tokenLengthMax || !/^[A-Za-z0-9_-]+$/.test(text)) throw invalid(text);
  const reader = new TokenReader(Buffer.from(text, "base64url"));
  const token = readToken(reader);
  if (!token || reader.failed || encodeToken(token) !== text) throw invalid(text);
  return token;
}

/** `12.345`, of a group that is not `main` `reports:12.345`; of a frame `12.345.6`. */
export function encodeFeedId({ group, generation, batch, frame }: FeedPosition): string {
  const whole = `${group === undefined ? "" : `${group}:`}${generation}.${batch}`;
  return frame === null ? whole : `${whole}.${frame}`;
}

/** Throws `TOKEN_INVALID`. */
export function decodeFeedId(text: string): FeedPosition {
  const match = /^(?:([a-z][a-z0-9_]{0,47}):)?(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})(?:\.([1-9]\d{0,15}))?$/.exec(text);
  const [generation, batch, frame] = [Number(match?.[2]), Number(match?.[3]), Number(match?.[4] ?? 0)];
  if (!match || ![generation, batch, frame].every(Number.isSafeInteger)) {
    throw new MillraceError("TOKEN_INVALID", `${quoteShort(text)} is no id of this feed`, {
      hint: "Resume with the id of the last event, as it was sent, or leave Last-Event-ID out to begin with a snapshot.",
    });
  }
  const [, group] = match;
  return { ...(group === undefined ? {} : { group }), generation, batch, frame: match[4] === undefined ? null : frame };
}

function readToken(reader: TokenReader): Token | undefined {
  if (reader.byte() !== tokenVersion) return undefined;
  const kind = reader.byte();
  switch (kind) {
    case kindBytes.group:
      return { kind: "group", generation: reader.number(), batch: reader.number() };
    case kindBytes.namedGroup:
      return { kind: "group", group: reader.text(), generation: reader.number(), batch: reader.number() };
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
    case sourceTokenKinds.position:
    case sourceTokenKinds.place:
      return { kind: "source", ...readSourceToken(kind, reader) };
    default:
      return undefined;
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
