/** Folders of the simulated disk: names that are durable, names that are seen, and the changes between the two. */
import * as path from "node:path";
import { type Choice, diskError, type FileNode } from "./simulated-file.ts";

interface NameChange {
  readonly name: string;
  /** Undefined when the name goes. */
  readonly node: Node | undefined;
  /** The same number in both halves of a rename. */
  readonly moved: number | undefined;
}

export interface DirectoryNode {
  readonly kind: "directory";
  readonly durable: Map<string, Node>;
  readonly current: Map<string, Node>;
  /** Since the last sync, oldest first. */
  changes: NameChange[];
}

export type Node = FileNode | DirectoryNode;

export function newDirectory(): DirectoryNode {
  return { kind: "directory", durable: new Map(), current: new Map(), changes: [] };
}

/** Without a node the name goes. */
export function setName(parent: DirectoryNode, name: string, node: Node | undefined, moved?: number): void {
  const change = { name, node, moved };
  applyName(parent.current, change);
  parent.changes.push(change);
}

export function syncNames(directory: DirectoryNode): void {
  for (const change of directory.changes) applyName(directory.durable, change);
  directory.changes = [];
}

/** The node at the end of the first `depth` parts of a path. */
export function nodeAt(root: Node, parts: readonly string[], depth = parts.length): Node | undefined {
  let node = root;
  for (let i = 0; i < depth; i++) {
    const next = node.kind === "directory" ? node.current.get(parts[i] as string) : undefined;
    if (!next) return undefined;
    node = next;
  }
  return node;
}

export function asDirectory(node: Node | undefined, at: string, operation: string): DirectoryNode {
  if (!node) throw diskError("ENOENT", operation, at);
  if (node.kind !== "directory") throw diskError("ENOTDIR", operation, at);
  return node;
}

/** The room that all files below take. */
export function allocatedBytes(node: Node, seen = new Set<Node>()): number {
  if (seen.has(node)) return 0;
  seen.add(node);
  if (node.kind === "file") return node.current.allocatedBytes;
  let bytes = 0;
  for (const child of node.current.values()) bytes += allocatedBytes(child, seen);
  return bytes;
}

/** The folder after a power cut, with all that is below. */
export function survivingDirectory(
  node: DirectoryNode,
  choice: Choice,
  survivors = new Map<Node, Node>(),
): DirectoryNode {
  const copy = newDirectory();
  survivors.set(node, copy);
  const entries = node.changes.length === 0 ? node.durable : survivingNames(node, choice);
  for (const [name, child] of entries) {
    let survivor = survivors.get(child);
    if (!survivor) {
      survivor = child.kind === "directory" ? survivingDirectory(child, choice, survivors) : child.survivor(choice);
      survivors.set(child, survivor);
    }
    copy.durable.set(name, survivor);
    copy.current.set(name, survivor);
  }
  return copy;
}

function survivingNames(node: DirectoryNode, choice: Choice): Map<string, Node> {
  const entries = new Map(node.durable);
  const keep = choice(node.changes.length);
  const renames = new Map<number, boolean>();
  node.changes.forEach((change, i) => {
    // Both names of a rename change together.
    const kept = change.moved === undefined ? keep(i) : (renames.get(change.moved) ?? keep(i));
    if (change.moved !== undefined) renames.set(change.moved, kept);
    if (kept) applyName(entries, change);
  });
  return entries;
}

function applyName(names: Map<string, Node>, { name, node }: NameChange): void {
  if (node) names.set(name, node);
  else names.delete(name);
}

/** Paths are few and looked at often. */
const knownParts = new Map<string, readonly string[]>();

export function partsOf(at: string): readonly string[] {
  let parts = knownParts.get(at);
  if (!parts) {
    if (knownParts.size >= 10_000) knownParts.clear();
    parts = path.resolve("/", at).split("/").filter(Boolean);
    knownParts.set(at, parts);
  }
  return parts;
}
