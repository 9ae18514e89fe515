/** `/v1/hooks/{source}`: calls of other people's servers. What becomes of one stands in `capture/webhooks/hook.ts`. */
import { MillraceError } from "../base/errors.ts";
import type { Hook, HookAnswer } from "../capture/webhooks/hook.ts";
import { encodeToken } from "../feeds/token.ts";
import type { HttpDoorDependencies } from "./door-dependencies.ts";
import { nearest } from "./nearest.ts";
import { problemOf } from "./problem.ts";
import { decodeSegment } from "./query-string.ts";
import type { Call, Reply, Route } from "./route.ts";
import { ref } from "./schemas.ts";

const errors = [
  "SOURCE_UNKNOWN",
  "HOOK_SIGNATURE_INVALID",
  "HOOK_QUOTA_EXCEEDED",
  "HOOK_BUSY",
  "UNIT_MOVING",
  "REQUEST_TOO_LARGE",
  "REQUEST_TIMEOUT",
  "MEDIA_TYPE_UNSUPPORTED",
  "METHOD_NOT_ALLOWED",
  "PARTITION_FAILED",
  "DISK_LOW",
  "LOG_CLOSED",
] as const;

/** Whoever does not send a body whole within this holds no place. */
const bodyMs = 10_000;

export function hookRoutes({ hooks }: Pick<HttpDoorDependencies, "hooks">): readonly Route[] {
  const handle = async (call: Call): Promise<Reply> => {
    const name = decodeSegment(call.segments.source ?? "");
    const hook = hooks.get(name);
    if (!hook) throw unknown(name, hooks.names());
    try {
      return replyOf(hook, await hook.handle({ ...pick(call), body: (limits) => call.body({ ...limits, bodyMs }) }));
    } catch (thrown) {
      const error = MillraceError.from(thrown);
      const headers = headersOf(error, hook);
      if (headers === undefined) throw thrown;
      const problem = problemOf(error);
      return {
        kind: "body",
        status: problem.status,
        type: "application/problem+json",
        body: problem.body,
        headers: { ...problem.headers, ...headers },
      };
    }
  };
  const common = {
    path: "/v1/hooks/{source}",
    access: "signed",
    openQuery: true,
    parameters: [],
    errors,
    handle,
  } as const;
  return [
    {
      ...common,
      method: "POST",
      operation: "receiveWebhook",
      about: "Keeps one call of a vendor; answers when it is durable, a copy with the place of the first one.",
      body: { "*/*": { description: "As the vendor sends it.", type: "string", format: "binary" } },
      answers: {
        200: { about: "It is kept, or was a challenge; Millrace-Token is its token.", schema: ref("Hooked") },
      },
    },
    {
      ...common,
      method: "GET",
      operation: "answerWebhookChallenge",
      about: "Answers a vendor that asks whether the address is minded; keeps nothing.",
      answers: { 200: { about: "What the vendor wants to see.", type: "text/plain", schema: { type: "string" } } },
    },
  ];
}

function pick(call: Call) {
  const { method, search, headers } = call;
  return { method, search, headers, guard: () => call.guard() };
}

function replyOf({ name, definition }: Hook, answer: HookAnswer): Reply {
  if (answer.kind === "challenge") return { kind: "body", ...answer.answer };
  const { partition, offset, duplicate } = answer.place;
  const positions = [{ partition, offset: offset + 1 }];
  const token = encodeToken({ kind: "topic", topic: name, topicId: answer.topicId, positions });
  const headers = { "millrace-token": token };
  if (definition.verify.answer === "none") {
    return { kind: "body", status: 200, headers: { ...headers, "content-length": "0" }, type: null, body: "" };
  }
  const body = `{"partition":${partition},"offset":${offset},"duplicate":${duplicate}}\n`;
  return { kind: "body", status: 200, headers, type: "application/json", body };
}

/** What these answers say differently from those of other paths; undefined for an error that is the door's. */
function headersOf(error: MillraceError, { definition }: Hook): Record<string, string> | undefined {
  if (error.code === "HOOK_QUOTA_EXCEEDED") return { "retry-after": String(error.details.retryAfterSeconds ?? 1) };
  if (error.code !== "HOOK_SIGNATURE_INVALID") return undefined;
  // Where a signature is missing there is nothing that could be asked for; the header has to be there (RFC 9110).
  return { "www-authenticate": definition.verify.authenticate ?? `Signature realm="millrace"` };
}

function unknown(name: string, names: readonly string[]): MillraceError {
  const meant = nearest(name.slice(0, 100), names);
  return new MillraceError("SOURCE_UNKNOWN", `there is no webhook source ${JSON.stringify(name.slice(0, 100))}`, {
    hint: meant === undefined ? "Run millrace sources list to see their names." : `Did you mean "${meant}"?`,
  });
}
