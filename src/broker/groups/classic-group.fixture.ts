/** A classic group in a test's hands: what is asked of it, what it has answered, and time. */
import assert from "node:assert/strict";
import { decide } from "./classic-group.ts";
import {
  type ClassicErrorName,
  type ClassicGroup,
  type ClassicSettings,
  defaultClassicSettings,
  emptyClassicGroup,
  type JoinAnswer,
  type JoinRequest,
  type KeptGroup,
  type LeaveAnswer,
  nextDeadlineMs,
  type SyncAnswer,
} from "./classic-state.ts";

export const sessionMs = 10_000;
export const rebalanceMs = 30_000;

export type JoinMore = Partial<Omit<JoinRequest, "protocols">> & { readonly protocols?: readonly string[] };

/** `name:metadata`; a name alone has its name as metadata. */
function protocolOf(text: string) {
  const [name = "", metadata = name] = text.split(":");
  return { name, metadata: Buffer.from(metadata) };
}

export class GroupScene {
  group: ClassicGroup;
  nowMs = 1_000_000;
  readonly settings: ClassicSettings;
  readonly joined = new Map<number, JoinAnswer>();
  readonly synced = new Map<number, SyncAnswer>();
  readonly kept: { readonly keepId: number; readonly kept: KeptGroup }[] = [];
  readonly removed: string[] = [];
  /** What is kept is durable at once, unless this is false. */
  keepsAtOnce = true;
  #requests = 0;
  #ids = 0;
  #heartbeat: ClassicErrorName = "NONE";
  #left: LeaveAnswer = { members: [] };

  constructor(settings: Partial<ClassicSettings> = {}, group = emptyClassicGroup()) {
    this.settings = { ...defaultClassicSettings, ...settings };
    this.group = group;
  }

  /** As of version 3 or before: a member has no use for an id first, unless `knowsIdRequired`. Answers the request's number. */
  join({ protocols = ["range"], ...more }: JoinMore = {}): number {
    const request = ++this.#requests;
    const join: JoinRequest = {
      memberId: "",
      instanceId: null,
      clientId: "c",
      clientHost: "/h",
      sessionTimeoutMs: sessionMs,
      rebalanceTimeoutMs: rebalanceMs,
      protocolType: "consumer",
      protocols: protocols.map(protocolOf),
      newMemberId: `m${++this.#ids}`,
      knowsIdRequired: false,
      knowsSkipAssignment: false,
      ...more,
    };
    this.dispatch({ kind: "join", request, join });
    return request;
  }

  /** Of a join that is answered at once. */
  joinNow(more: JoinMore = {}): JoinAnswer {
    return this.joinAnswer(this.join(more));
  }

  joinAnswer(request: number): JoinAnswer {
    return this.joined.get(request) ?? assert.fail(`join ${request} was not answered`);
  }

  sync(
    memberId: string,
    assignments: Readonly<Record<string, string>> = {},
    more: { generation?: number; instanceId?: string; protocol?: string; protocolType?: string } = {},
  ): number {
    const request = ++this.#requests;
    this.dispatch({
      kind: "sync",
      request,
      sync: {
        memberId,
        instanceId: more.instanceId ?? null,
        generation: more.generation ?? this.group.generation,
        protocolType: more.protocolType ?? null,
        protocol: more.protocol ?? null,
        assignments: Object.entries(assignments).map(([id, text]) => {
          return { memberId: id, assignment: Buffer.from(text) };
        }),
      },
    });
    return request;
  }

  syncAnswer(request: number): SyncAnswer {
    return this.synced.get(request) ?? assert.fail(`sync ${request} was not answered`);
  }

  /** What a sync was answered: its error, or the assignment. */
  assigned(request: number): string {
    const { error, assignment } = this.syncAnswer(request);
    return error === "NONE" ? assignment.toString() : error;
  }

  heartbeat(memberId: string, more: { generation?: number; instanceId?: string } = {}): ClassicErrorName {
    const generation = more.generation ?? this.group.generation;
    const member = { memberId, instanceId: more.instanceId ?? null };
    this.dispatch({ kind: "heartbeat", request: ++this.#requests, member, generation });
    return this.#heartbeat;
  }

  leave(...members: readonly (string | { memberId: string; instanceId: string })[]): ClassicErrorName[] {
    const identities = members.map((one) => (typeof one === "string" ? { memberId: one, instanceId: null } : one));
    this.dispatch({ kind: "leave", request: ++this.#requests, members: identities });
    return this.#left.members.map(({ error }) => error);
  }

  /** By steps of the deadlines, as timers go. */
  advance(byMs: number): void {
    const endMs = this.nowMs + byMs;
    for (let dueMs = nextDeadlineMs(this.group); dueMs !== undefined && dueMs <= endMs; ) {
      this.nowMs = Math.max(this.nowMs, dueMs);
      this.dispatch({ kind: "tick" });
      dueMs = nextDeadlineMs(this.group);
    }
    this.nowMs = endMs;
  }

  /** The oldest thing that is to be kept is durable, or is not. */
  keep(error: ClassicErrorName = "NONE"): void {
    const next = this.kept.shift() ?? assert.fail("nothing is to be kept");
    this.dispatch({ kind: "kept", keepId: next.keepId, error });
  }

  dispatch(event: Parameters<typeof decide>[1]): void {
    const { group, effects } = decide(this.group, event, this.nowMs, this.settings);
    this.group = group;
    for (const effect of effects) {
      if (effect.kind === "joined") this.#once(this.joined, effect.request, effect.answer);
      else if (effect.kind === "synced") this.#once(this.synced, effect.request, effect.answer);
      else if (effect.kind === "heartbeat") this.#heartbeat = effect.error;
      else if (effect.kind === "left") this.#left = effect.answer;
      else if (effect.kind === "removed") this.removed.push(`${effect.memberId} ${effect.reason}`);
      else this.kept.push(effect);
    }
    while (this.keepsAtOnce && this.kept.length > 0) this.keep();
  }

  #once<T>(into: Map<number, T>, request: number, answer: T): void {
    assert.ok(!into.has(request), `request ${request} was answered twice`);
    into.set(request, answer);
  }

  /** A stable group of so many members, `m1` the leader; each is assigned `a-<member id>`. */
  static stable(count: number, more: JoinMore = {}, settings: Partial<ClassicSettings> = {}): GroupScene {
    const scene = new GroupScene(settings);
    const requests = Array.from({ length: count }, () => scene.join(more));
    scene.advance(scene.settings.initialRebalanceDelayMs);
    scene.advance(scene.settings.initialRebalanceDelayMs);
    const ids = requests.map((request) => scene.joinAnswer(request).memberId);
    for (const id of ids.slice(1)) scene.sync(id);
    scene.sync(ids[0] as string, Object.fromEntries(ids.map((id) => [id, `a-${id}`])));
    assert.equal(scene.group.phase, "Stable");
    return scene;
  }
}
