/**
 * The topic of a publication: made when it is missing, taken over when it is nobody's, refused when it is somebody else's,
 * and handed back when nothing is published to it any more.
 *
 * Always true: what the progress says of a topic holds only while no door lets others write to it. So the progress is
 * cleared before a topic is taken over, and a comparison that is interrupted begins again.
 */
import { MillraceError } from "../base/errors.ts";
import { notCompacted } from "../catalog/define/publish-option.ts";
import { type Publication, publishTaken } from "../catalog/publishing.ts";
import type { Engine, TopicInfo, TopicSettings } from "../engine/engine.ts";
import { becomeOwner, type Ownership, unitOfPublisher } from "../ownership/become-owner.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import type { GroupPosition } from "../views/view-info.ts";

/** What a publisher's unit has as its progress once it has published. */
export interface PublisherProgress extends GroupPosition {
  readonly view: string;
  readonly topicId: string;
  /** By which keys are spread, whatever was added since. */
  readonly partitions: number;
}

export interface OwnedTopic {
  readonly info: TopicInfo;
  readonly partitions: number;
  /** What the topic equals; null when it has to be compared. */
  readonly position: GroupPosition | null;
}

/** In place of the progress: the topic is being taken over, and its content is not known. */
const claimed = null;
/** The topic was handed back. */
const released = { released: true } as const;

/**
 * By the owner of its unit. Throws `PUBLISH_TOPIC_TAKEN`, `PUBLISH_TOPIC_NOT_COMPACTED`, `TOPIC_CHANGE_REFUSED` for another
 * count of partitions, and what the log throws.
 */
export async function ownTopic(engine: Engine, owner: Ownership, publication: Publication): Promise<OwnedTopic> {
  const { view, group, topic: name, settings } = publication;
  const known = engine.topic(name);
  if (known) assertUsable(known, owner, publication);
  const progress = progressOf(owner.progress);
  const goesOn =
    known?.readOnly === true && progress?.topicId === known.id && progress.view === view && progress.group === group;
  if (!goesOn && owner.progress !== claimed) await write(owner, claimed);
  const topic = known ?? (await engine.createTopic(name, settings, { readOnly: true }));
  const info =
    topic.readOnly && isSo(topic, settings) ? topic : await engine.alterTopic(name, settings, { readOnly: true });
  if (!goesOn) return { info, partitions: info.settings.partitions, position: null };
  const { generation, batch, partitions } = progress;
  return { info, partitions, position: { ...(group === undefined ? {} : { group }), generation, batch } };
}

/** Of a topic that equals the view at `position`. */
export function progressAt(publication: Publication, topic: OwnedTopic, position: GroupPosition): PublisherProgress {
  const { generation, batch } = position;
  const { view, group } = publication;
  const from = group === undefined ? { view } : { view, group };
  return { ...from, topicId: topic.info.id, partitions: topic.partitions, generation, batch };
}

/** Topics that an earlier start published to, and that were not handed back. */
export function topicsPublished(progress: ProgressTable): string[] {
  const isReleased = (topic: string) => {
    const value = progress.unit(unitOfPublisher(topic)).progress;
    return typeof value === "object" && value !== null && "released" in value;
  };
  return progress.unitsOf(unitOfPublisher("")).filter((topic) => !isReleased(topic));
}

/** Those that are not there yet, so that who reads them finds them. Throws what the log throws. */
export async function makeTopics(
  engine: Engine,
  progress: ProgressTable,
  published: readonly Publication[],
): Promise<void> {
  for (const publication of published) {
    if (engine.topic(publication.topic)) continue;
    const owner = await becomeOwner(engine, unitOfPublisher(publication.topic), { progress });
    await ownTopic(engine, owner, publication);
  }
}

/** The topic stays as it is, and anybody may write to it. Throws what the log throws. */
export async function releaseTopic(engine: Engine, progress: ProgressTable, topic: string): Promise<void> {
  const owner = await becomeOwner(engine, unitOfPublisher(topic), { progress });
  const info = engine.topic(topic);
  if (info?.readOnly && isOurs(info, owner)) await engine.alterTopic(topic, {}, { readOnly: false });
  await write(owner, released);
}

/** The newest position of a group that readers of any of these topics may know; null when there is none. */
export function newestPublished(progress: ProgressTable, group?: string): GroupPosition | null {
  let newest: GroupPosition | null = null;
  for (const topic of progress.unitsOf(unitOfPublisher(""))) {
    const one = progressOf(progress.unit(unitOfPublisher(topic)).progress);
    if (one && one.group === group && (newest === null || isLater(one, newest))) newest = one;
  }
  return newest && { generation: newest.generation, batch: newest.batch };
}

function isLater(one: GroupPosition, other: GroupPosition): boolean {
  return one.generation > other.generation || (one.generation === other.generation && one.batch > other.batch);
}

/** Null for what is none: nothing was published yet, or it does not hold any more. */
function progressOf(value: unknown): PublisherProgress | null {
  return typeof value === "object" && value !== null && "topicId" in value ? (value as PublisherProgress) : null;
}

async function write(owner: Ownership, progress: unknown): Promise<void> {
  const transaction = owner.begin();
  await transaction.append(owner.progressBatch(progress));
  await transaction.commit();
}

function assertUsable(known: TopicInfo, owner: Ownership, { view, topic, settings }: Publication): void {
  const { cleanup, partitions } = known.settings;
  if (known.readOnly && !isOurs(known, owner))
    throw publishTaken(view, topic, "a source, a webhook or Millrace itself");
  if (cleanup !== "compact") throw notCompacted(view, topic, cleanup);
  if (settings.partitions === undefined || settings.partitions === partitions) return;
  throw new MillraceError(
    "TOPIC_CHANGE_REFUSED",
    `topic "${topic}" has ${partitions} partitions, and its definition wants ${settings.partitions}`,
    {
      hint: `Write partitions: ${partitions}. The count is final: changes of a row keep their order by it.`,
      details: { topic, partitions },
    },
  );
}

/** Whether a read-only topic is that of the unit. */
function isOurs({ id }: TopicInfo, { progress }: Ownership): boolean {
  return progress === claimed || progressOf(progress)?.topicId === id;
}

function isSo({ settings }: TopicInfo, wanted: Partial<TopicSettings>): boolean {
  return (Object.keys(wanted) as (keyof TopicSettings)[]).every((name) => settings[name] === wanted[name]);
}
