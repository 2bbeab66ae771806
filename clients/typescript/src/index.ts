/**
 * Rowcast's client: live rows, changes and messages from a Rowcast server.
 *
 * @packageDocumentation
 */
export { connect } from './db.ts';
export { RowcastError } from './error.ts';
export type {
  AnyRow,
  Change,
  ChangeFeed,
  ChangesOptions,
  ChannelOptions,
  Column,
  Connection,
  ConnectionSnapshot,
  ConnectionState,
  ConnectOptions,
  FilterSpan,
  Gap,
  Inserted,
  LiveSnapshot,
  LiveStatus,
  LiveTable,
  Op,
  Position,
  Published,
  PublishOptions,
  QueryOptions,
  Rejected,
  RequestOptions,
  RoomChannel,
  RoomMessage,
  RoomSnapshot,
  Row,
  Rowcast,
  RowcastErrorLike,
  Rows,
  Series,
  SeriesGroup,
  SeriesOptions,
  SnapshotPart,
  Subscribed,
  Table,
  TableOptions,
  Value,
  WebSocketClass,
  WebSocketLike,
} from './types.ts';
