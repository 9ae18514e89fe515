/** What the door's answers are made of: the log, and what the door itself knows. */
import type { ClientQuotas } from "../access/client-quotas.ts";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { EmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { TopicSchemas } from "../registry/topic-schemas.ts";
import type { BrokerNode } from "./broker-node.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { BrokerDoorSettings, BrokerLimits } from "./door-settings.ts";

export interface DoorContext {
  readonly engine: EmbeddedEngine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly settings: BrokerDoorSettings;
  readonly limits: BrokerLimits;
  readonly node: BrokerNode;
  readonly quotas: ClientQuotas;
  /** Of records that are being sent. */
  readonly fetchMemory: ByteBudget;
  /** What the values of topics are checked against, before the log takes them. */
  readonly schemas: Pick<TopicSchemas, "checkBatch"> | null;
}
