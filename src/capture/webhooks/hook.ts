/**
 * One source of webhooks: what happens to a call, in the order in which it is refused. Nothing is done in a call but
 * verifying it and keeping it; what follows from an event reads the topic.
 *
 * Always true: an answer that says accepted names a place that is durable; a call that is not verified is not kept, and
 * costs no place and no quota; every call is counted once.
 */
import type { IncomingHttpHeaders } from "node:http";
import { MillraceError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type {
  WebhookChallenge,
  WebhookChallengeAnswer,
  WebhookDefinition,
  WebhookRequest,
  WebhookValue,
} from "../../catalog/definitions.ts";
import type { Accepted } from "./acceptor.ts";
import type { BodyRoom } from "./body-room.ts";
import { type HookEvent, type HookFunction, hookEventOf, readValue } from "./hook-event.ts";
import { type HookLog, type HookLogTools, openHookLog } from "./hook-log.ts";
import {
  freshCounts,
  type HookCounts,
  type HookStatus,
  hookStatus,
  type RefusalReason,
  reasonOf,
} from "./hook-status.ts";
import { RateBucket } from "./rate.ts";
import { type ReconciledDefinition, Reconciler } from "./reconcile/reconciler.ts";

export interface HookTools extends HookLogTools {
  readonly random: Random;
  /** What vendors' lists are asked with, in place of Node's. */
  readonly fetch?: typeof fetch;
}

/** A call whose head has arrived. */
export interface HookCall {
  readonly method: string;
  readonly search: string;
  readonly headers: IncomingHttpHeaders;
  /** Throws what is wrong with a caller that is a browser's page or uses a foreign name; for sources that verify nothing. */
  guard(): void;
  /** Throws `REQUEST_TOO_LARGE`, `REQUEST_TIMEOUT`, `REQUEST_INVALID`, and what `onBytes` throws. */
  body(limits: { readonly bodyBytesMax: number; readonly onBytes: (bytes: number) => void }): Promise<Buffer>;
}

export type HookAnswer =
  | { readonly kind: "kept"; readonly place: Accepted; readonly topicId: string }
  | { readonly kind: "challenge"; readonly answer: WebhookChallengeAnswer };

const noBody = Buffer.alloc(0);
const noValue = () => undefined;

export class Hook {
  readonly name: string;
  readonly #tools: HookTools;
  readonly #room: BodyRoom;
  readonly #log: HookLog;
  readonly #counts: HookCounts = freshCounts();
  #definition: WebhookDefinition;
  #bucket: RateBucket | undefined;
  #reconciler: Reconciler | undefined;

  constructor(definition: WebhookDefinition, tools: HookTools, room: BodyRoom) {
    this.name = definition.name;
    this.#definition = definition;
    this.#tools = tools;
    this.#room = room;
    this.#bucket = bucketOf(definition, tools);
    this.#log = openHookLog(definition, tools);
    this.#reconciler = this.#reconcilerOf(definition);
  }

  get definition(): WebhookDefinition {
    return this.#definition;
  }

  /** How many records were read back from the topic, to know its ids. */
  get recordsRead(): number {
    return this.#log.counts.recordsRead;
  }

  /** Takes a definition whose topic and ids are kept in the same way. */
  async redefine(definition: WebhookDefinition): Promise<void> {
    if (definition.ratePerSecond !== this.#definition.ratePerSecond) this.#bucket = bucketOf(definition, this.#tools);
    this.#definition = definition;
    const before = this.#reconciler;
    if (before && isReconciled(definition)) before.redefine(definition);
    else {
      this.#reconciler = this.#reconcilerOf(definition);
      await before?.close();
    }
  }

  status(): HookStatus {
    return hookStatus(this.#definition, this.#log, this.#counts, this.#reconciler);
  }

  /**
   * Asks the vendor now for what its calls did not bring; `sinceMs` asks for everything since then again, as far back as
   * ids are known. Throws `RECONCILE_UNDEFINED`.
   */
  reconcile(sinceMs: number | null): void {
    if (!this.#reconciler) {
      throw new MillraceError("RECONCILE_UNDEFINED", `the definition of "${this.name}" has no list to ask`, {
        hint: "Add reconcile: { list: async ({ since, until, cursor, fetch }) => … } to the webhook.",
      });
    }
    this.#reconciler.request(sinceMs);
  }

  /** Throws what the call is refused with. */
  async handle(call: HookCall): Promise<HookAnswer> {
    const held = this.#room.hold(this.name);
    try {
      return await this.#handle(call, (bytes) => held.take(bytes));
    } catch (error) {
      this.#refused(reasonOf(error));
      throw error;
    } finally {
      held.release();
    }
  }

  async close(): Promise<void> {
    // At once for both: what comes after is refused.
    await Promise.all([this.#reconciler?.close(), this.#log.close()]);
  }

  #reconcilerOf(definition: WebhookDefinition): Reconciler | undefined {
    if (!isReconciled(definition)) return undefined;
    const hookLog = this.#log;
    const log = {
      get idsSinceMs() {
        return hookLog.idsSinceMs;
      },
      accept: async (event: HookEvent): Promise<Accepted> => {
        const place = await hookLog.accept(event);
        if (!place.duplicate) this.#faulty(event.faults);
        return place;
      },
    };
    const reconciler = new Reconciler(definition, { ...this.#tools, log });
    reconciler.start();
    return reconciler;
  }

  async #handle(call: HookCall, onBytes: (bytes: number) => void): Promise<HookAnswer> {
    const { verify, challenge, bodyBytesMax } = this.#definition;
    if (!verify.verifies) call.guard();
    const { clock } = this.#tools;
    const head = { method: call.method, search: call.search, headers: call.headers, nowMs: clock.now() };
    const asked = challenge?.at === "open" ? answerOf(challenge, noValue, { ...head, body: noBody }) : undefined;
    if (asked) return this.#challenged(asked);
    if (call.method !== "POST") throw methodRefused(call.method, this.name);
    const mediaType = this.#mediaTypeOf(call.headers);
    // Before the body is read, and without taking: who cannot sign takes nothing of the quota.
    const waitSeconds = this.#bucket?.waitSeconds(clock.monotonicMs()) ?? 0;
    if (waitSeconds > 0) throw quotaExceeded(this.#definition, waitSeconds);
    this.#log.assertServing();
    const request: WebhookRequest = { ...head, body: await call.body({ bodyBytesMax, onBytes }) };
    this.#verify(request);
    const value = readValue(mediaType, request.body);
    const proof = challenge?.at === "verified" ? answerOf(challenge, value, request) : undefined;
    if (proof) return this.#challenged(proof);
    if (this.#bucket?.take(clock.monotonicMs()) === false) throw quotaExceeded(this.#definition, 1);
    return await this.#keep(value, request);
  }

  async #keep(value: WebhookValue, request: WebhookRequest): Promise<HookAnswer> {
    const event = hookEventOf(this.#definition, value, request);
    const place = await this.#log.accept(event);
    if (place.duplicate) this.#counts.duplicates++;
    else {
      this.#counts.accepted++;
      this.#counts.lastEventMs = request.nowMs;
      this.#faulty(event.faults);
    }
    return { kind: "kept", place, topicId: this.#log.topicId };
  }

  #verify(request: WebhookRequest): void {
    let reason: string;
    try {
      const verdict = this.#definition.verify.verify(request);
      if (verdict.ok === true) return;
      reason = verdict.ok === false ? String(verdict.reason) : "the verifier answers nothing that can be used";
    } catch {
      // A verifier of somebody's own: what it throws may quote what it knows.
      reason = "the verifier failed";
    }
    throw new MillraceError("HOOK_SIGNATURE_INVALID", `the call to "${this.name}" is not verified: ${reason}`, {
      hint: "Compare the secret and the address with what the vendor shows; a proxy must hand the body on as it is.",
      details: { now: new Date(request.nowMs).toISOString() },
    });
  }

  #mediaTypeOf(headers: IncomingHttpHeaders): string {
    const encoding = headers["content-encoding"]?.trim().toLowerCase();
    if (encoding !== undefined && encoding !== "" && encoding !== "identity") {
      throw new MillraceError("MEDIA_TYPE_UNSUPPORTED", `a body in ${JSON.stringify(encoding)} is not taken here`, {
        hint: "Send it without Content-Encoding: bodies are verified and kept as they are sent.",
      });
    }
    const type = (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
    const { mediaTypes } = this.#definition;
    if (mediaTypes === null || mediaTypes.includes(type)) return type;
    if (type.endsWith("+json") && mediaTypes.includes("application/json")) return type;
    throw new MillraceError(
      "MEDIA_TYPE_UNSUPPORTED",
      `${JSON.stringify(type.slice(0, 80))} is not taken by "${this.name}"`,
      {
        hint: `It takes ${mediaTypes.join(", ")}; mediaTypes: ["*"] takes any.`,
      },
    );
  }

  #challenged(answer: WebhookChallengeAnswer): HookAnswer {
    this.#counts.challenges++;
    return { kind: "challenge", answer };
  }

  #refused(reason: RefusalReason): void {
    this.#counts.refused[reason]++;
  }

  #faulty(faults: readonly HookFunction[]): void {
    for (const fault of faults) this.#counts.faults[fault]++;
  }
}

function isReconciled(definition: WebhookDefinition): definition is ReconciledDefinition {
  return definition.reconcile !== undefined;
}

function answerOf(
  challenge: WebhookChallenge,
  value: WebhookValue,
  request: WebhookRequest,
): WebhookChallengeAnswer | undefined {
  try {
    const answer = challenge.answer(value, request);
    const isOne =
      typeof answer?.body === "string" && typeof answer.type === "string" && Number.isInteger(answer.status);
    return isOne && answer.status >= 200 && answer.status < 300 ? answer : undefined;
  } catch {
    // Somebody's own: then the call is one as any other.
    return undefined;
  }
}

function bucketOf({ ratePerSecond }: WebhookDefinition, { clock }: HookTools): RateBucket | undefined {
  return ratePerSecond === null ? undefined : new RateBucket(ratePerSecond, clock.monotonicMs());
}

function quotaExceeded({ name, ratePerSecond }: WebhookDefinition, retryAfterSeconds: number): MillraceError {
  return new MillraceError("HOOK_QUOTA_EXCEEDED", `"${name}" takes ${ratePerSecond} calls a second`, {
    hint: "It was not kept; send it again later. The quota is ratePerSecond of the definition.",
    details: { retryAfterSeconds },
  });
}

function methodRefused(method: string, name: string): MillraceError {
  return new MillraceError("METHOD_NOT_ALLOWED", `${method.slice(0, 20)} is no call of "${name}", and no challenge`, {
    hint: "Webhooks are sent with POST.",
    details: { allow: "POST, OPTIONS" },
  });
}
