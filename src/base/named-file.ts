/** Small files that somebody names in a setting or an address: certificates and keys. */
import { open } from "node:fs/promises";

/** Throws what the file system says, and for a file of more than `bytesMax` bytes. */
export async function readNamedFile(path: string, bytesMax = 1024 * 1024): Promise<string> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    if (size > bytesMax) throw new Error(`${path} has ${size} bytes; a file of at most ${bytesMax} is read`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}
