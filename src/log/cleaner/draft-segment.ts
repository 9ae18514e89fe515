/** The file that is to take the place of some segments, while it is being written: `<its name>.draft`. */
import * as path from "node:path";
import type { Disk, DiskFile } from "../../base/disk.ts";
import type { PartitionPlace } from "../log-context.ts";
import { encodeSegmentHeader, type Segment, segmentHeaderBytes } from "../segment.ts";
import { draftSuffix, makeSegmentName, type SegmentName } from "../segment-name.ts";

export class DraftSegment {
  readonly path: string;
  readonly #disk: Disk;
  readonly #file: DiskFile;
  readonly #finalPath: string;
  readonly #baseOffset: number;
  #sizeBytes = segmentHeaderBytes;

  private constructor(disk: Disk, file: DiskFile, finalPath: string, baseOffset: number) {
    this.path = file.path;
    this.#disk = disk;
    this.#file = file;
    this.#finalPath = finalPath;
    this.#baseOffset = baseOffset;
  }

  static async create(disk: Disk, place: PartitionPlace, name: SegmentName): Promise<DraftSegment> {
    const finalPath = path.join(place.directory, makeSegmentName(name));
    const draftPath = finalPath + draftSuffix;
    // One that an earlier cleaning left behind counts for nothing.
    await disk.remove(draftPath);
    const file = await disk.open(draftPath, "exclusive");
    const draft = new DraftSegment(disk, file, finalPath, name.baseOffset);
    try {
      const { topicId, partition } = place;
      await file.write([encodeSegmentHeader({ topicId, partition, baseOffset: name.baseOffset })], 0);
    } catch (error) {
      await draft.discard();
      throw error;
    }
    return draft;
  }

  async write(pieces: readonly Buffer[]): Promise<void> {
    await this.#file.write(pieces, this.#sizeBytes);
    for (const piece of pieces) this.#sizeBytes += piece.length;
  }

  /** Its bytes are durable when this resolves; its name is not. Answers the segment that it becomes. */
  async finish(maxTimestamp: number): Promise<Segment> {
    await this.#file.datasync();
    await this.#file.close();
    return { baseOffset: this.#baseOffset, path: this.#finalPath, sizeBytes: this.#sizeBytes, maxTimestamp };
  }

  /** No failure when the disk refuses: the next start removes it. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await this.#disk.remove(this.path).catch(() => undefined);
  }
}
