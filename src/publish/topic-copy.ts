/**
 * What a compacted topic says of each key, read back from it: digests of keys and values in a temporary table of the store,
 * so that topics of any size are compared in bounded memory. What was compared leaves the table; the rest is gone from the view.
 */
import { hash } from "node:crypto";
import type { Client } from "pg";
import type { Engine, TopicInfo } from "../engine/engine.ts";
import { forEachCommitted, nextOffsetOf } from "../engine/records.ts";

export interface CopiedRecord {
  readonly partition: number;
  readonly key: Buffer;
}

export interface ComparedRecord extends CopiedRecord {
  readonly value: Buffer;
}

export interface CopyOptions {
  readonly engine: Engine;
  readonly topic: TopicInfo;
  /** Opened when the topic turns out to have something. */
  readonly connect: () => Promise<Client>;
  readonly signal: AbortSignal;
}

const readBytesMax = 1024 * 1024;
/** How long one look waits for an open transaction of somebody else to end. */
const openWaitMs = 1_000;
const rowsPerPage = 1_000;

export class TopicCopy implements AsyncDisposable {
  readonly #options: CopyOptions;
  #client: Client | undefined;

  private constructor(options: CopyOptions) {
    this.#options = options;
  }

  /** Everything committed up to the end as it is now. Throws what the log and the store throw, and the signal's reason. */
  static async read(options: CopyOptions): Promise<TopicCopy> {
    const copy = new TopicCopy(options);
    try {
      const { partitions } = options.topic.settings;
      for (let partition = 0; partition < partitions; partition++) await copy.#readPartition(partition);
    } catch (error) {
      await copy[Symbol.asyncDispose]();
      throw error;
    }
    return copy;
  }

  /** Those of the page that the topic does not have as they are. A key is compared once. */
  async unlike<T extends ComparedRecord>(page: readonly T[]): Promise<readonly T[]> {
    if (!this.#client || page.length === 0) return page;
    const { rows } = await this.#client.query<{ place: string }>(
      "delete from topic_copy c using unnest($1::int[], $2::text[], $3::text[]) with ordinality " +
        "s(partition, id, digest, place) where c.partition = s.partition and c.id = s.id " +
        "returning case when c.digest = s.digest then s.place end as place",
      [
        page.map(({ partition }) => partition),
        page.map(({ key }) => digestOf(key)),
        page.map(({ value }) => digestOf(value)),
      ],
    );
    const alike = new Set(rows.map(({ place }) => Number(place) - 1));
    return page.filter((_, place) => !alike.has(place));
  }

  /** Keys that were not compared, page by page. */
  async *rest(): AsyncGenerator<readonly CopiedRecord[]> {
    let after: readonly [partition: number, id: string] = [-1, ""];
    while (this.#client) {
      const { rows } = await this.#client.query<CopiedRecord & { readonly id: string }>(
        "select partition, id, key from topic_copy where (partition, id) > ($1, $2) " +
          `order by partition, id limit ${rowsPerPage}`,
        [...after],
      );
      if (rows.length > 0) yield rows;
      const last = rows.at(-1);
      if (!last || rows.length < rowsPerPage) return;
      after = [last.partition, last.id];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.end().catch(() => {});
    this.#client = undefined;
  }

  async #readPartition(partition: number): Promise<void> {
    const { engine, topic, signal } = this.#options;
    const { logStart, highWatermark } = await engine.offsets(topic.name, partition);
    for (let offset = logStart; offset < highWatermark; ) {
      signal.throwIfAborted();
      const result = await engine.read({
        topic: topic.name,
        partition,
        offset,
        isolation: "read_committed",
        bytesMax: readBytesMax,
        waitMs: openWaitMs,
        signal,
      });
      // The last record of each key; null is a tombstone.
      const page = new Map<string, { readonly key: Buffer; readonly digest: string | null }>();
      forEachCommitted(result, offset, (_offset, _timestamp, key, value) => {
        // One without a key can be told of no row, and taken away by none.
        if (key === null) return;
        page.set(key.toString("latin1"), { key: Buffer.from(key), digest: value && digestOf(value) });
      });
      await this.#stage(partition, [...page.values()]);
      offset = nextOffsetOf(result, offset);
    }
  }

  async #stage(
    partition: number,
    page: readonly { readonly key: Buffer; readonly digest: string | null }[],
  ): Promise<void> {
    if (page.length === 0) return;
    const client = await this.#connected();
    const gone = page.filter(({ digest }) => digest === null).map(({ key }) => digestOf(key));
    if (gone.length > 0) {
      await client.query("delete from topic_copy where partition = $1 and id = any($2::text[])", [partition, gone]);
    }
    const there = page.filter(({ digest }) => digest !== null);
    await client.query(
      "insert into topic_copy (partition, id, key, digest) select $1, * from unnest($2::text[], $3::bytea[], $4::text[]) " +
        "on conflict (partition, id) do update set digest = excluded.digest",
      [
        partition,
        there.map(({ key }) => digestOf(key)),
        there.map(({ key }) => key),
        there.map(({ digest }) => digest),
      ],
    );
  }

  async #connected(): Promise<Client> {
    if (this.#client) return this.#client;
    this.#client = await this.#options.connect();
    await this.#client.query(
      'create temporary table topic_copy (partition int not null, id text collate "C" not null, key bytea not null, ' +
        "digest text not null, primary key (partition, id))",
    );
    // A page probes the index, however large the table is.
    await this.#client.query(
      "set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off; set enable_bitmapscan = off",
    );
    return this.#client;
  }
}

/** Nobody makes two texts of one digest, also not on purpose. */
function digestOf(bytes: Buffer): string {
  return hash("sha256", bytes, "base64");
}
