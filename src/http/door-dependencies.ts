/** What the HTTP door stands on; all of it is handed in by the composition root. */
import type { TokenRules } from "../access/json-web-token.ts";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Metrics } from "../base/metrics.ts";
import type { Random } from "../base/random.ts";
import type { RetryResult } from "../capture/retry.ts";
import type { SourceStatus } from "../capture/source.ts";
import type { Hooks } from "../capture/webhooks/hooks.ts";
import type { Engine } from "../engine/engine.ts";
import type { Feeds } from "../feeds/feed.ts";
import type { PublicationsInfo } from "../publish/publication-info.ts";
import type { SchemaRegistry } from "../registry/schema-registry.ts";
import type { TopicSchemas } from "../registry/topic-schemas.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { Views } from "../views/view-info.ts";
import type { HttpDoorSettings } from "./door-settings.ts";
import type { IdempotentAppends } from "./idempotent-appends.ts";
import type { NodeInfo } from "./node-info.ts";
import type { StaticFiles } from "./static-files.ts";

export interface HttpDoorDependencies {
  readonly engine: Engine;
  readonly views: Views;
  /** Resolves when the building of it has begun. Throws `VIEW_UNKNOWN`, `STORE_UNAVAILABLE`. */
  readonly rebuildView: (view: string) => Promise<void>;
  /** Views that are published to topics. */
  readonly publications: PublicationsInfo;
  readonly feeds: Feeds;
  readonly sources: {
    list(): readonly SourceStatus[];
    status(name: string): SourceStatus | undefined;
    /** Where its end is now; undefined when there is no source of this name. Throws `SOURCE_UNREACHABLE`. */
    end(name: string): Promise<string | undefined>;
    // Each answers false when there is no source of this name.
    resnapshot(name: string): boolean;
    /** `table` as `schema.table`. Throws `TABLE_UNKNOWN` and `SOURCE_UNREACHABLE`. */
    readTable(name: string, table: string): Promise<boolean>;
    adopt(name: string): boolean;
    /** `url` is where the database of a source is that is in the module no more. */
    hold(name: string, kind: "paused" | "removed", slot: "keep" | "drop", url?: string | null): Promise<boolean>;
    resume(name: string): Promise<boolean>;
    /** Undefined when there is no source of this name. */
    retry(name: string): Promise<RetryResult | undefined>;
  };
  readonly hooks: Pick<Hooks, "get" | "names" | "list" | "status">;
  readonly registry: SchemaRegistry;
  /** What the values of topics are checked against. */
  readonly schemas: Pick<TopicSchemas, "check">;
  /** Of events' keys and values in the wire format. */
  readonly wire: WireReader;
  /** Appends of requests that carry an idempotency key. */
  readonly idempotent: Pick<IdempotentAppends, "append">;
  readonly node: () => NodeInfo;
  /** The console; null has none. */
  readonly files: StaticFiles | null;
  /** The text of `/metrics`. */
  readonly renderMetrics: () => string;
  /** Of callers' tokens; null takes none. */
  readonly tokens: TokenRules | null;
  readonly settings: HttpDoorSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly metrics: Metrics;
}
