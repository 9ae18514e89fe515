/** A view's rows and a topic's events as they change, over SSE. What is shown is always a state that existed. */
import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { asProblem, fetchJson, type Problem, type TopicEvent } from "./api.ts";
import { Copies } from "./copies.ts";

export type Row = Readonly<Record<string, unknown>>;

export interface LiveRow {
  readonly id: string;
  readonly row: Row;
  /** When this page saw it change; 0 for a row of the snapshot. */
  readonly changedAt: number;
  readonly changed: ReadonlySet<string>;
}

export interface LiveRows {
  readonly kind: "connecting" | "live" | "reconnecting" | "failed";
  readonly rows: ReadonlyMap<string, LiveRow>;
  readonly changes: number;
  readonly token: string | null;
  readonly notice: string | null;
  readonly problem: Problem | null;
}

interface Change {
  readonly op: "upsert" | "insert" | "delete";
  /** Undefined of a view without a key. */
  readonly key?: Row;
  readonly row?: Row;
  readonly count?: number;
}

const againMs = 1_000;
const nothing: LiveRows = { kind: "connecting", rows: new Map(), changes: 0, token: null, notice: null, problem: null };

/** Without a key (null) equal rows are told apart by numbers. */
export function useLiveView(view: string, key: readonly string[] | null, enabled: boolean): LiveRows {
  const [state, setState] = useState<LiveRows>(nothing);
  const [edition, setEdition] = useState(0);
  useEffect(() => {
    if (!enabled) return;
    const gone = new AbortController();
    let again: ReturnType<typeof setTimeout> | undefined;
    setState(nothing);
    const path = `/v1/views/${encodeURIComponent(view)}`;
    const source = new EventSource(`${path}/live`);
    let rows = new Map<string, LiveRow>();
    let pending: Map<string, LiveRow> | null = null;
    const copies = new Copies();
    let changes = 0;
    const idOf = (row: Row) => JSON.stringify(key === null ? row : key.map((column) => row[column]));
    const show = (token: string) =>
      setState({ kind: "live", rows: new Map(rows), changes, token, notice: null, problem: null });

    source.addEventListener("snapshot", (event) => {
      const frame = JSON.parse(event.data) as { token: string; rows: Row[]; more?: boolean };
      if (pending === null) copies.clear();
      pending ??= new Map();
      for (const row of frame.rows) {
        const id = key === null ? copies.add(idOf(row)) : idOf(row);
        pending.set(id, { id, row, changedAt: 0, changed: new Set() });
      }
      if (frame.more) return;
      rows = pending;
      pending = null;
      show(frame.token);
    });
    let staged: Change[] = [];
    source.addEventListener("changes", (event) => {
      const frame = JSON.parse(event.data) as { token: string; changes: Change[]; more?: boolean };
      staged.push(...frame.changes);
      if (frame.more) return;
      for (const change of staged) {
        if (change.key === undefined) applyCopies(rows, copies, idOf(change.row ?? {}), change);
        else apply(rows, idOf(change.key), change);
      }
      changes += staged.length;
      staged = [];
      show(frame.token);
    });
    source.addEventListener("gap", (event) => {
      const { reason } = JSON.parse(event.data) as { reason: string };
      pending = null;
      staged = [];
      setState((last) => ({ ...last, notice: `Changes were missed (${reason}); the rows are being read again.` }));
    });
    source.addEventListener("error", () => {
      pending = null;
      staged = [];
      if (source.readyState === EventSource.CLOSED) {
        // A refused feed tells its reason to nobody: a row of the view does.
        fetchJson(`${path}?limit=1`, { signal: gone.signal })
          .then(
            () => null,
            (error) => asProblem(error),
          )
          .then((problem) => {
            if (gone.signal.aborted) return;
            // While it is being built, and when it can be read again, the feed is opened once more.
            const passes = problem === null || problem.code === "VIEW_BUILDING" || problem.code === "NOT_RUNNING";
            if (passes) again = setTimeout(() => setEdition((n) => n + 1), againMs);
            const notice = passes ? (problem?.message ?? null) : null;
            setState((last) => ({
              ...last,
              kind: passes ? "reconnecting" : "failed",
              notice,
              problem: passes ? null : problem,
            }));
          });
      } else setState((last) => ({ ...last, kind: last.kind === "connecting" ? "connecting" : "reconnecting" }));
    });
    return () => {
      source.close();
      gone.abort();
      clearTimeout(again);
    };
  }, [view, key?.join(","), enabled, edition]);
  return state;
}

function apply(rows: Map<string, LiveRow>, id: string, change: Change): void {
  if (change.op === "delete" || change.row === undefined) {
    rows.delete(id);
    return;
  }
  const before = rows.get(id)?.row;
  const changed = new Set(Object.keys(change.row).filter((column) => !same(before?.[column], change.row?.[column])));
  rows.set(id, { id, row: change.row, changedAt: performance.now(), changed });
}

function applyCopies(
  rows: Map<string, LiveRow>,
  copies: Copies,
  text: string,
  { op, row = {}, count = 1 }: Change,
): void {
  for (let i = 0; i < count; i++) {
    if (op === "delete") {
      rows.delete(copies.remove(text));
      continue;
    }
    const id = copies.add(text);
    rows.set(id, { id, row, changedAt: performance.now(), changed: new Set(Object.keys(row)) });
  }
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

export interface Tail {
  readonly kind: "connecting" | "live" | "reconnecting";
  readonly events: readonly TopicEvent[];
  readonly seen: number;
}

const tailMax = 200;

/** The newest events of a topic, newest first, at most 200. Pausing keeps what is shown and goes on counting. */
export function useTail(topic: string, paused: boolean): Tail {
  const events = useRef<TopicEvent[]>([]);
  const seen = useRef(0);
  const kind = useRef<Tail["kind"]>("connecting");
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const isPaused = useRef(paused);
  isPaused.current = paused;
  useEffect(() => {
    events.current = [];
    seen.current = 0;
    kind.current = "connecting";
    let frame = 0;
    const later = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        redraw(0);
      });
    };
    const source = new EventSource(`/v1/topics/${encodeURIComponent(topic)}/live`);
    source.addEventListener("open", () => {
      kind.current = "live";
      later();
    });
    source.addEventListener("events", (event) => {
      const batch = (JSON.parse(event.data) as { events: TopicEvent[] }).events;
      seen.current += batch.length;
      if (!isPaused.current) events.current = [...batch.slice(-tailMax).reverse(), ...events.current].slice(0, tailMax);
      later();
    });
    source.addEventListener("error", () => {
      kind.current = "reconnecting";
      later();
    });
    return () => {
      source.close();
      cancelAnimationFrame(frame);
    };
  }, [topic]);
  return { kind: kind.current, events: events.current, seen: seen.current };
}
