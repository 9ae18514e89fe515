/**
 * The bytes of a simulated file, in pages that copies share until one of them writes. A copy costs a pointer a page, a
 * read or a write the bytes that it touches. A page that nobody wrote reads as zeros and takes no room.
 */
const pageBytes = 4096;

/** Files are preallocated with zeros: those pages are one and the same until they are written to. */
const zeros = Buffer.alloc(pageBytes);

export class PagedContent {
  #pages: (Buffer | undefined)[] = [];
  /** True where no copy has the same page. */
  #isOwn: boolean[] = [];
  #lengthBytes = 0;

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** The room that it takes on a disk. */
  get allocatedBytes(): number {
    let pages = 0;
    for (const page of this.#pages) if (page) pages++;
    return pages * pageBytes;
  }

  copy(): PagedContent {
    const copy = new PagedContent();
    copy.#pages = this.#pages.slice();
    copy.#lengthBytes = this.#lengthBytes;
    this.#isOwn = [];
    return copy;
  }

  /** Answers how many bytes there were. */
  read(target: Buffer, bytePosition: number): number {
    const end = Math.min(this.#lengthBytes, bytePosition + target.length);
    for (let at = bytePosition; at < end; ) {
      const start = at % pageBytes;
      const count = Math.min(pageBytes - start, end - at);
      const page = this.#pages[(at - start) / pageBytes];
      if (page) page.copy(target, at - bytePosition, start, start + count);
      else target.fill(0, at - bytePosition, at - bytePosition + count);
      at += count;
    }
    return Math.max(0, end - bytePosition);
  }

  write(bytes: Buffer, bytePosition: number): void {
    if (bytes.length === 0) return;
    for (let done = 0; done < bytes.length; ) {
      const at = bytePosition + done;
      const start = at % pageBytes;
      const count = Math.min(pageBytes - start, bytes.length - done);
      const index = (at - start) / pageBytes;
      if (count === pageBytes && zeros.compare(bytes, done, done + count) === 0) this.#set(index, zeros, false);
      else bytes.copy(this.#writable(index), start, done, done + count);
      done += count;
    }
    this.#lengthBytes = Math.max(this.#lengthBytes, bytePosition + bytes.length);
  }

  truncate(lengthBytes: number): void {
    const whole = Math.ceil(lengthBytes / pageBytes);
    const start = lengthBytes % pageBytes;
    if (lengthBytes < this.#lengthBytes) {
      this.#pages.length = Math.min(this.#pages.length, whole);
      this.#isOwn.length = Math.min(this.#isOwn.length, whole);
      // What was cut off must not show again behind a later end.
      if (start > 0 && this.#pages[whole - 1]) this.#writable(whole - 1).fill(0, start);
    }
    this.#lengthBytes = lengthBytes;
  }

  /** The range reads as zeros; the length stays. */
  clear(fromBytes: number, toBytes: number): void {
    const end = Math.min(toBytes, this.#lengthBytes);
    for (let at = fromBytes; at < end; ) {
      const start = at % pageBytes;
      const count = Math.min(pageBytes - start, end - at);
      const index = (at - start) / pageBytes;
      if (this.#pages[index]) this.#writable(index).fill(0, start, start + count);
      at += count;
    }
  }

  /** How many bytes of a write can be done when so much room is free: whole pages, as far as they go. */
  fitting(bytePosition: number, countBytes: number, freeBytes: number): number {
    let free = freeBytes;
    for (let at = bytePosition; at < bytePosition + countBytes; at += pageBytes - (at % pageBytes)) {
      if (this.#pages[Math.floor(at / pageBytes)]) continue;
      free -= pageBytes;
      if (free < 0) return at - bytePosition;
    }
    return countBytes;
  }

  toBuffer(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#lengthBytes);
    this.read(bytes, 0);
    return bytes;
  }

  #writable(index: number): Buffer {
    const page = this.#pages[index];
    if (page && this.#isOwn[index]) return page;
    const own = Buffer.allocUnsafeSlow(pageBytes);
    (page ?? zeros).copy(own);
    this.#set(index, own, true);
    return own;
  }

  #set(index: number, page: Buffer, isOwn: boolean): void {
    // An array with holes is slower to read and to copy.
    while (this.#pages.length < index) this.#pages.push(undefined);
    while (this.#isOwn.length < index) this.#isOwn.push(false);
    this.#pages[index] = page;
    this.#isOwn[index] = isOwn;
  }
}
