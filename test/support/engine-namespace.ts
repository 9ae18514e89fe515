/**
 * An engine under which others can work at the same time: every topic, transactional id and group has a prefix that the user
 * of this one does not see, so that tests with the same names share one cluster. Names that cannot be stay as they are.
 */
import { MillraceError } from "../../src/base/errors.ts";
import type {
  AppendRequest,
  Engine,
  PlacedBatch,
  ReadRequest,
  RetentionHolder,
  TopicInfo,
  Transaction,
  TransactionalProducer,
  TransactionInfo,
} from "../../src/engine/engine.ts";
import type {
  FetchedOffset,
  GroupMember,
  Groups,
  JoinOptions,
  MemberInfo,
  OffsetCommit,
  Rebalance,
  TopicPartition,
} from "../../src/engine/groups.ts";
import { checkTopicName } from "../../src/engine/topic-settings.ts";

/** Closing it closes `engine`. */
export function namespaced(engine: Engine, prefix: string): Engine {
  return withPlainErrors(new NamespacedEngine(engine, prefix), prefix);
}

/** Errors say names without the prefix, too. */
function withPlainErrors<T extends object>(of: T, prefix: string): T {
  const plain = (error: unknown) => {
    if (!MillraceError.is(error)) return error;
    const details = JSON.parse(JSON.stringify(error.details).replaceAll(prefix, "")) as Record<string, unknown>;
    return new MillraceError(error.code, error.message.replaceAll(prefix, ""), { details, cause: error });
  };
  return new Proxy(of, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        try {
          const result: unknown = Reflect.apply(value, target, args);
          return result instanceof Promise
            ? result.catch((error) => {
                throw plain(error);
              })
            : result;
        } catch (error) {
          throw plain(error);
        }
      };
    },
  });
}

class Names {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  topic(name: string): string {
    try {
      checkTopicName(name);
      return this.#prefix + name;
    } catch {
      return name;
    }
  }

  id(name: string): string {
    return typeof name === "string" && name.length > 0 && name.length < 200 ? this.#prefix + name : name;
  }

  plain(name: string): string {
    return name.startsWith(this.#prefix) ? name.slice(this.#prefix.length) : name;
  }

  has(name: string): boolean {
    return name.startsWith(this.#prefix);
  }

  at<T extends { readonly topic: string }>(place: T): T {
    return { ...place, topic: typeof place.topic === "string" ? this.topic(place.topic) : place.topic };
  }

  plainAt<T extends { readonly topic: string }>(place: T): T {
    return { ...place, topic: this.plain(place.topic) };
  }
}

class NamespacedEngine implements Engine {
  readonly #engine: Engine;
  readonly #names: Names;
  readonly groups: Groups;

  constructor(engine: Engine, prefix: string) {
    this.#engine = engine;
    this.#names = new Names(prefix);
    this.groups = namespacedGroups(engine, this.#names);
  }

  get logId(): string {
    return this.#engine.logId;
  }

  topics(): TopicInfo[] {
    return this.#engine
      .topics()
      .filter(({ name }) => this.#names.has(name))
      .map((topic) => this.#plain(topic));
  }

  topic(name: string): TopicInfo | undefined {
    const found = this.#engine.topic(this.#names.topic(name));
    return found && this.#plain(found);
  }

  async createTopic(name: string, ...rest: unknown[]): Promise<TopicInfo> {
    const create = this.#engine.createTopic.bind(this.#engine) as (...args: unknown[]) => Promise<TopicInfo>;
    return this.#plain(await create(this.#names.topic(name), ...rest));
  }

  async alterTopic(name: string, ...rest: unknown[]): Promise<TopicInfo> {
    const alter = this.#engine.alterTopic.bind(this.#engine) as (...args: unknown[]) => Promise<TopicInfo>;
    return this.#plain(await alter(this.#names.topic(name), ...rest));
  }

  deleteTopic(name: string) {
    return this.#engine.deleteTopic(this.#names.topic(name));
  }

  offsets(topic: string, partition: number) {
    return this.#engine.offsets(this.#names.topic(topic), partition);
  }

  leaderEpoch(topic: string, partition: number) {
    return this.#engine.leaderEpoch(this.#names.topic(topic), partition);
  }

  offsetForTime(topic: string, partition: number, timestampMs: number) {
    return this.#engine.offsetForTime(this.#names.topic(topic), partition, timestampMs);
  }

  recordForTime(topic: string, partition: number, timestampMs: number) {
    return this.#engine.recordForTime(this.#names.topic(topic), partition, timestampMs);
  }

  latestRecord(topic: string, partition: number) {
    return this.#engine.latestRecord(this.#names.topic(topic), partition);
  }

  endOfEpoch(topic: string, partition: number, epoch: number) {
    return this.#engine.endOfEpoch(this.#names.topic(topic), partition, epoch);
  }

  deleteRecords(topic: string, partition: number, offset: number) {
    return this.#engine.deleteRecords(this.#names.topic(topic), partition, offset);
  }

  producers(topic: string, partition: number) {
    return this.#engine.producers(this.#names.topic(topic), partition);
  }

  async append(request: AppendRequest) {
    const { transactionalId } = request;
    const id = transactionalId === undefined ? {} : { transactionalId: this.#names.id(transactionalId) };
    return this.#names.plainAt(await this.#engine.append({ ...this.#names.at(request), ...id }));
  }

  read(request: ReadRequest) {
    return this.#engine.read(this.#names.at(request));
  }

  async initProducer(id: string, options?: { readonly timeoutMs?: number | null }): Promise<TransactionalProducer> {
    return namespacedProducer(await this.#engine.initProducer(this.#names.id(id), options), this.#names, id);
  }

  get transactions(): Engine["transactions"] {
    const { transactions } = this.#engine;
    const names = this.#names;
    return {
      newProducerId: () => transactions.newProducerId(),
      init: (id, ...rest) => transactions.init(names.id(id), ...rest),
      addPartitions: (id, producer, partitions) =>
        transactions.addPartitions(
          names.id(id),
          producer,
          partitions.map((one) => names.at(one)),
        ),
      end: (id, ...rest) => transactions.end(names.id(id), ...rest),
      abortIn: (topic, partition, producer) => transactions.abortIn(names.topic(topic), partition, producer),
      async list() {
        const all = await transactions.list();
        return all.filter(({ transactionalId }) => names.has(transactionalId)).map((one) => plainInfo(one, names));
      },
      async describe(id) {
        const found = await transactions.describe(names.id(id));
        return found && plainInfo(found, names);
      },
      abort: (id) => transactions.abort(names.id(id)),
    };
  }

  setQuota(...args: Parameters<Engine["setQuota"]>) {
    return this.#engine.setQuota(...args);
  }

  holdRetention(holder: RetentionHolder) {
    const names = this.#names;
    return this.#engine.holdRetention({
      name: holder.name,
      nextOffset: (topic, partition) => (names.has(topic) ? holder.nextOffset(names.plain(topic), partition) : null),
    });
  }

  sizeBytes(topic: string) {
    return this.#engine.sizeBytes(this.#names.topic(topic));
  }

  close() {
    return this.#engine.close();
  }

  #plain(topic: TopicInfo): TopicInfo {
    return { ...topic, name: this.#names.plain(topic.name) };
  }
}

function plainInfo(info: TransactionInfo, names: Names): TransactionInfo {
  const partitions = info.partitions.map((one) => names.plainAt(one));
  return { ...info, transactionalId: names.plain(info.transactionalId), partitions };
}

/** The transactions as the engine below knows them. */
const inner = new WeakMap<Transaction, Transaction>();

function namespacedProducer(producer: TransactionalProducer, names: Names, id: string): TransactionalProducer {
  return {
    transactionalId: id,
    get producerId() {
      return producer.producerId;
    },
    get epoch() {
      return producer.epoch;
    },
    begin() {
      const transaction = producer.begin();
      const wrapped: Transaction = {
        append: async (request): Promise<PlacedBatch> => names.plainAt(await transaction.append(names.at(request))),
        commit: () => transaction.commit(),
        abort: () => transaction.abort(),
      };
      inner.set(wrapped, transaction);
      return wrapped;
    },
  };
}

/** Looked up when they are used: an engine may have none. */
function namespacedGroups(engine: Engine, names: Names): Groups {
  const at = <T extends TopicPartition>(places: readonly T[]): T[] => places.map((place) => names.at(place));
  const plain = <T extends TopicPartition>(places: readonly T[]): T[] => places.map((place) => names.plainAt(place));
  const some = (places: readonly TopicPartition[] | undefined) => places && at(places);
  const member = (one: MemberInfo): MemberInfo => ({
    ...one,
    topics: one.topics.map((topic) => names.plain(topic)),
    assignment: plain(one.assignment),
  });
  const wrap = (of: GroupMember): GroupMember => ({
    group: names.plain(of.group),
    memberId: of.memberId,
    instanceId: of.instanceId,
    get generation() {
      return of.generation;
    },
    get assignment() {
      return plain(of.assignment);
    },
    get members() {
      return of.members.map(member);
    },
    signal: of.signal,
    heartbeat: () => of.heartbeat(),
    async next(signal): Promise<Rebalance> {
      const { generation, assignment, granted, revoked, acknowledge } = await of.next(signal);
      return {
        generation,
        assignment: plain(assignment),
        granted: plain(granted),
        revoked: plain(revoked),
        acknowledge,
      };
    },
    commit: (offsets, options) => of.commit(at(offsets), options),
    commitIn: (transaction, offsets, options) =>
      of.commitIn(inner.get(transaction) ?? transaction, at(offsets), options),
    async committed(partitions, options): Promise<FetchedOffset[]> {
      return plain(await of.committed(some(partitions), options));
    },
    leave: (options) => of.leave(options),
  });
  return {
    async joinGroup(options: JoinOptions) {
      const topics = Array.isArray(options.topics)
        ? options.topics.map((topic) => (typeof topic === "string" ? names.topic(topic) : topic))
        : options.topics;
      return wrap(await engine.groups.joinGroup({ ...options, topics, group: names.id(options.group) }));
    },
    commitOffsets: (group, offsets: readonly OffsetCommit[]) =>
      engine.groups.commitOffsets(names.id(group), at(offsets)),
    commitOffsetsIn: (transaction, group, offsets) =>
      engine.groups.commitOffsetsIn(inner.get(transaction) ?? transaction, names.id(group), at(offsets)),
    async fetchOffsets(group, partitions, options) {
      return plain(await engine.groups.fetchOffsets(names.id(group), some(partitions), options));
    },
    deleteOffsets: (group, partitions) => engine.groups.deleteOffsets(names.id(group), at(partitions)),
    deleteGroup: (group) => engine.groups.deleteGroup(names.id(group)),
    async listGroups() {
      const all = await engine.groups.listGroups();
      return all.filter(({ group }) => names.has(group)).map((one) => ({ ...one, group: names.plain(one.group) }));
    },
    async describeGroup(group) {
      const found = await engine.groups.describeGroup(names.id(group));
      return { ...found, group: names.plain(found.group), members: found.members.map(member) };
    },
  };
}
