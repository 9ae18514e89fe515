/** The consumer groups of the door: both protocols over one directory, and what the log knows of them at the start. */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Random } from "../base/random.ts";
import type { EmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { BrokerNode } from "./broker-node.ts";
import type { ClassicSettings } from "./groups/classic-state.ts";
import { consumerGroupAnswers } from "./groups/consumer-group-answers.ts";
import { ConsumerGroupCoordinator } from "./groups/consumer-group-coordinator.ts";
import { groupAnswers } from "./groups/group-answers.ts";
import { GroupCoordinator } from "./groups/group-coordinator.ts";
import { GroupDirectory } from "./groups/group-directory.ts";
import type { Answer } from "./handler.ts";

export interface DoorGroupsOptions {
  readonly engine: EmbeddedEngine;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly settings: Partial<ClassicSettings> | undefined;
}

export class DoorGroups {
  readonly #engine: EmbeddedEngine;
  readonly #directory: GroupDirectory;
  readonly #coordinator: GroupCoordinator;
  readonly #consumerGroups: ConsumerGroupCoordinator;
  #stopListening: (() => void) | undefined;

  constructor({ engine, clock, random, diagnostics, settings }: DoorGroupsOptions) {
    const tools = { clock, random, diagnostics };
    this.#engine = engine;
    this.#directory = new GroupDirectory(engine.groups);
    engine.groups.leadOutside(this.#directory);
    this.#coordinator = new GroupCoordinator({
      ...tools,
      offsets: engine.groups.offsets,
      directory: this.#directory,
      ...(settings && { settings }),
    });
    this.#consumerGroups = new ConsumerGroupCoordinator({ ...tools, engine, directory: this.#directory });
  }

  /** Takes over the groups that had members when the log was last closed, or killed. */
  async open(): Promise<void> {
    await this.#directory.load(this.#engine.groups.offsets);
    this.#stopListening = this.#engine.onTopicsChanged(() => this.#directory.topicsChanged());
  }

  answers(node: BrokerNode): Answer[] {
    const engine = this.#engine;
    const door = { engine, node, coordinator: this.#coordinator, directory: this.#directory };
    return [...groupAnswers(door), ...consumerGroupAnswers({ engine, consumerGroups: this.#consumerGroups })];
  }

  async close(): Promise<void> {
    this.#stopListening?.();
    await Promise.all([this.#coordinator.close(), this.#consumerGroups.close()]);
  }
}
