/** Histories whose power is cut after every operation of the disk, and disks that are not what they say. */
import type { Disk, DiskFile } from "../../src/base/disk.ts";
import { over } from "../../src/base/over.fixture.ts";

/** A disk in place of the one that it is given. */
export type Wrap = (disk: Disk) => Disk;

export const asItIs: Wrap = (disk) => disk;

/** Says that it has synced, and has not. */
export const withoutSync: Wrap = (disk) =>
  over(disk, {
    open: async (path, mode) =>
      over(await disk.open(path, mode), { datasync: async () => {} } satisfies Partial<DiskFile>),
  });

export interface Cuts {
  readonly seed: number;
  /** The operations of the whole history, behind `first`, that are cut: each, or every so many. */
  readonly first: number;
  readonly operations: number;
  readonly stride: number;
  /** Throws when what was found afterwards cannot be. */
  readonly cut: (operations: number) => Promise<void>;
}

/** The first cut that finds something wrong is named. */
export async function cutEverywhere({ seed, first, operations, stride, cut }: Cuts): Promise<void> {
  for (let n = first + (seed % stride); n <= operations; n += stride) {
    try {
      await cut(n);
    } catch (error) {
      throw new Error(`seed ${seed}, power cut after operation ${n}: ${(error as Error).message}`, { cause: error });
    }
  }
}
