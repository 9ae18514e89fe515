/** `@millrace/client`: reads and follows Millrace views and topics from a browser or from Node.js. */
export { type AppTypes, type Client, type ConnectOptions, connect } from "./client.ts";
export { MillraceClientError } from "./client-error.ts";
export type { Pace } from "./follow.ts";
export type {
  EdgesQuery,
  Neighbours,
  NeighboursQuery,
  Node,
  Path,
  PathQuery,
  Reach,
  ReachQuery,
} from "./graph.ts";
export type { Gap, LiveOptions, LiveRows, LiveStatus, Update } from "./live-rows.ts";
export type { ManyReadsOptions, ReadOf, RowRead, RowsRead, Snapshot } from "./many-reads.ts";
export type { Change } from "./row-map.ts";
export type {
  Comparison,
  Conditions,
  Contained,
  Found,
  Quantified,
  RowsQuery,
  Similar,
  TextSearch,
  Where,
} from "./row-query.ts";
export type { SelectedRow } from "./selected-row.ts";
export type {
  EventsPage,
  EventsQuery,
  NewEvent,
  Published,
  PublishOptions,
  TopicClient,
  TopicEvent,
  TopicLiveOptions,
  TopicUpdate,
} from "./topic.ts";
export type { BelowQuery, TreeQuery } from "./tree.ts";
export type { Key, Page, ViewClient } from "./view.ts";
