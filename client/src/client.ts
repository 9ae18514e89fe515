/** `connect`: the face of the package. */
import { MillraceClientError } from "./client-error.ts";
import { defaultPace, type Pace } from "./follow.ts";
import { type ManyReadsOptions, type ReadOf, readMany, type Snapshot } from "./many-reads.ts";
import { TopicClient } from "./topic.ts";
import { Transport } from "./transport.ts";
import { ViewClient } from "./view.ts";

/** What the server has, by name: `connect<{ views: Views }>(url)` with `Views` of `millrace-env.d.ts`. */
export interface AppTypes {
  /** The row of each view. */
  readonly views?: object;
  /** By view the related ones, whose rows a `select` embeds: `Relations` of `millrace-env.d.ts`. */
  readonly relations?: object;
  /** The value of each topic's events. */
  readonly topics?: object;
}

export interface ConnectOptions {
  /**
   * The bearer that the server asks for: its key, or the caller's token, which shows the rows that are the caller's. A function is
   * asked before each request, so that a live feed goes on with a new token when the one before holds no longer.
   */
  readonly key?: string | (() => string | Promise<string>);
  /** In place of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /** How live feeds reconnect; times in milliseconds. */
  readonly pace?: Partial<Pace>;
}

// biome-ignore lint/suspicious/noExplicitAny: without types of the app a row may have any column.
type Untyped = Record<string, any>;
type ViewsOf<App extends AppTypes> = App["views"] extends object ? App["views"] : Record<string, Untyped>;
type TopicsOf<App extends AppTypes> = App["topics"] extends object ? App["topics"] : Record<string, unknown>;
type RowOf<App extends AppTypes, Name extends keyof ViewsOf<App>> = ViewsOf<App>[Name] extends object
  ? ViewsOf<App>[Name]
  : Untyped;

export interface Client<App extends AppTypes = AppTypes> {
  view<Name extends keyof ViewsOf<App> & string>(name: Name): ViewClient<RowOf<App, Name>, App, Name>;
  topic<Name extends keyof TopicsOf<App> & string>(name: Name): TopicClient<TopicsOf<App>[Name]>;
  /**
   * Several reads of views in one snapshot: no commit lies between them. One that fails fails all, and the error's details
   * have its place as `read`.
   */
  read<const Reads extends readonly ReadOf<ViewsOf<App>>[]>(
    reads: Reads,
    options?: ManyReadsOptions,
  ): Promise<Snapshot<ViewsOf<App>, Reads, App>>;
}

/** Connects to nothing yet: the first read does. Throws `MillraceClientError` when the url is none. */
export function connect<App extends AppTypes = AppTypes>(url: string | URL, options: ConnectOptions = {}): Client<App> {
  const fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  let transport: Transport;
  try {
    transport = new Transport({ url: String(url), key: options.key ?? null, fetch });
  } catch (cause) {
    throw new MillraceClientError("URL_INVALID", `${JSON.stringify(String(url))} is no address`, {
      cause,
      hint: "Write it as http://127.0.0.1:4400.",
    });
  }
  const pace = { ...defaultPace, ...options.pace };
  return {
    view: (name) => new ViewClient(name, transport, pace),
    topic: (name) => new TopicClient(name, transport, pace),
    read: (reads, options = {}) => readMany<ViewsOf<App>, typeof reads, App>(transport, reads, options),
  };
}
