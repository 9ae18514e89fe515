/**
 * What a transcript is about: names under a prefix of its own, so that many share one cluster, and the steps so far
 * that later ones can refer to.
 */
import type { Api, RequestInput } from "../../../../../src/kafka/fields.ts";
import { type Seen, type Step, step } from "../script.ts";
import type { Choice } from "./choice.ts";

export interface Joined {
  readonly step: string;
  readonly groupId: string;
  readonly connection: string;
  readonly instanceId: string | null;
}

export interface Begun {
  readonly step: string;
  readonly transactionalId: string | null;
}

export class World {
  readonly choice: Choice;
  readonly prefix: string;
  readonly steps: Step[] = [];
  readonly joins: Joined[] = [];
  readonly producers: Begun[] = [];
  readonly sessions: string[] = [];
  readonly heartbeats: { readonly step: string; readonly groupId: string; readonly memberId: string }[] = [];

  constructor(choice: Choice, prefix: string) {
    this.choice = choice;
    this.prefix = prefix;
  }

  add<A extends Api>(
    api: A,
    request: RequestInput<A> | ((seen: Seen) => RequestInput<A>),
    on = "main",
    v?: number,
  ): string {
    const version = v ?? this.version(api);
    const name = `${this.steps.length} ${api.name} v${version}`;
    this.steps.push(step(name, api, version, request, { on }));
    return name;
  }

  version({ versions: [lowest, highest] }: Api): number {
    return lowest + this.choice.below(highest - lowest + 1);
  }

  /** Of a topic that may be there. */
  topic(): string {
    return this.prefix + this.choice.of(["a", "b", "c"]);
  }

  /** Also such as cannot be. */
  anyTopic(): string {
    const { choice } = this;
    return choice.usually(this.topic(), ["", "not a name", ".", "x".repeat(250), `${this.prefix}unknown`], 0.85);
  }

  group(): string {
    return this.prefix + this.choice.of(["g", "h"]);
  }

  anyGroup(): string {
    return this.choice.usually(this.group(), [`${this.prefix}nobody`], 0.92);
  }

  transactionalId(): string {
    return this.prefix + this.choice.of(["tx", "ty"]);
  }

  partition(): number {
    return this.choice.usually(this.choice.below(3), [-1, 7, 2_000_000_000], 0.92);
  }
}
