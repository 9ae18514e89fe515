/**
 * `after=<token>` or `Millrace-After`: a read that waits, bounded, until it has what the token names; `Millrace-Seen`: one
 * that only is not to go behind an earlier one, for which a view that is recomputed whole is as good as it is.
 */
import { MillraceError } from "../base/errors.ts";
import { foreignToken } from "../catalog/source-token.ts";
import { decodeToken, encodeToken, type Token, type TopicToken } from "../feeds/token.ts";
import type { GroupPosition, ViewRead, Views } from "../views/view-info.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { queryValue } from "./parameters.ts";
import type { Call, Parameter } from "./route.ts";
import { string } from "./schemas.ts";

export const afterParameters: readonly Parameter[] = [
  {
    name: "after",
    in: "query",
    about:
      "A token, or up to 16 with commas between them: the read waits until it has what they name; now: what the sources and topics have by then.",
    schema: string,
  },
  { name: "Millrace-After", in: "header", about: "The same as after=.", schema: string },
  {
    name: "Millrace-Seen",
    in: "header",
    about: "The token of an earlier read, to go behind it nowhere: no view is run again for it.",
    schema: string,
  },
];

const tokensMax = 16;

/** In place of a token, which none is. */
const now = "now";

type SourcesAsked = Pick<HttpDoorDependencies["sources"], "status" | "end">;

/**
 * `reads` are what is read then. Undefined when there is nothing to wait for. Throws `TOKEN_INVALID`, `TOKEN_FOREIGN`,
 * `TOKEN_TIMEOUT`, `SOURCE_UNKNOWN`, and for `now` `SOURCE_UNREACHABLE`.
 */
export function waitForViews(
  call: Call,
  views: Views,
  sources: SourcesAsked,
  waitMs: number,
  reads: readonly ViewRead[],
  text = tokenTextOf(call),
): Promise<void> | undefined {
  const seen = headerText(call, "millrace-seen");
  if (text === undefined && seen === undefined) return undefined;
  if (text === now) return waitForNow(call, views, sources, waitMs, reads);
  const waits = tokensIn(text).map((token) => waitForToken(token, call, views, sources, waitMs, reads));
  if (seen !== undefined) waits.push(waitForToken(decodeToken(seen), call, views, sources, waitMs, []));
  return waits.length <= 1 ? waits[0] : Promise.all(waits).then(() => undefined);
}

/** One, or several with commas between them. Throws `TOKEN_INVALID`. */
function tokensIn(text: string | undefined): Token[] {
  const texts = text?.split(",", tokensMax + 1) ?? [];
  if (texts.length > tokensMax) {
    throw new MillraceError("TOKEN_INVALID", `at most ${tokensMax} tokens can be waited for`, {
      hint: "The token of a later read stands for all that was seen before it.",
    });
  }
  return texts.map((one) => decodeToken(one.trim()));
}

/** Each source and topic is asked where it is, and that is waited for: whatever was committed there before is in the answer. */
async function waitForNow(
  call: Call,
  views: Views,
  sources: SourcesAsked,
  waitMs: number,
  reads: readonly ViewRead[],
): Promise<void> {
  const waits = views.sourcesOf(reads).map(async (source) => {
    const lsn = await sources.end(source);
    if (lsn === undefined) return;
    await views.waitFor({ kind: "source", source, lsn }, waitMs, call.signal, reads);
  });
  const ends = views
    .endsOfTopics(reads)
    .then((targets) => Promise.all(targets.map((target) => views.waitFor(target, waitMs, call.signal, reads))));
  await Promise.all([...waits, ends]);
}

async function waitForToken(
  token: Token,
  call: Call,
  views: Views,
  sources: SourcesAsked,
  waitMs: number,
  reads: readonly ViewRead[],
): Promise<void> {
  switch (token.kind) {
    case "group": {
      const { kind, ...position } = token;
      await views.waitFor({ kind, position }, waitMs, call.signal, reads);
      return;
    }
    case "source": {
      const foreign = foreignToken(token, sources.status(token.source)?.server ?? null);
      if (foreign !== null) {
        throw new MillraceError("TOKEN_FOREIGN", foreign, {
          hint: "Ask for a token after your next commit, over a connection to the source's own server.",
          details: { source: token.source },
        });
      }
      await views.waitFor({ kind: "source", source: token.source, lsn: token.lsn }, waitMs, call.signal, reads);
      return;
    }
    case "topic":
      await views.waitFor(token, waitMs, call.signal, reads);
      return;
  }
}

/** The token of a topic's read, or null. Throws `TOKEN_INVALID`, `TOKEN_FOREIGN`. */
export function topicTokenOf(call: Call): TopicToken | null {
  const text = tokenTextOf(call);
  const token = text === undefined ? null : decodeToken(text);
  if (token === null || token.kind === "topic") return token;
  throw new MillraceError("TOKEN_FOREIGN", `the token is of a ${token.kind === "group" ? "view" : "source"}`, {
    hint: "A topic's read takes the token of an append to that topic.",
  });
}

let lastToken: { readonly of: GroupPosition; readonly text: string } = { of: { generation: -1, batch: -1 }, text: "" };

export function groupToken(position: GroupPosition): string {
  const { group, generation, batch } = position;
  const { of } = lastToken;
  // Between two batches all readers are told the same.
  if (of.generation !== generation || of.batch !== batch || of.group !== group) {
    lastToken = { of: position, text: encodeToken({ ...position, kind: "group" }) };
  }
  return lastToken.text;
}

function tokenTextOf(call: Call): string | undefined {
  return queryValue(call.query, "after") ?? headerText(call, "millrace-after");
}

function headerText({ headers }: Call, name: string): string | undefined {
  const header = headers[name];
  return Array.isArray(header) ? header[0] : header;
}
