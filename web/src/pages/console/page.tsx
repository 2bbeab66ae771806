// Console: how the server is doing, and what it says, frame by frame.

import { formatBytes, formatCount, formatDuration, formatNumber, formatShortTime } from '../../chart/format';
import { Skeleton } from '../../ui/empty';
import { Refused } from '../../ui/refused';
import { DeadLetters } from './dead-letters';
import { Frames } from './frames';
import { Rate } from './sparkline';
import { type Ingest, type Session, type Source, type Spool, type Status, useStatus, type Watched } from './status';

/** A database writes a little to its log all the time. */
const UP_TO_DATE_BYTES = 64 * 1024;

export default function ConsolePage() {
  const watched = useStatus();
  return (
    <>
      <h1 className="visually-hidden">Console</h1>
      <Server watched={watched} />
      <Frames />
    </>
  );
}

function Server({ watched }: { watched: Watched }) {
  const { status, error, rates } = watched;
  if (status === null && error !== null) {
    return (
      <Refused error={error} otherwise="The server does not answer">
        <p>This page asks again each second.</p>
      </Refused>
    );
  }
  if (status === null) return <Skeleton lines={5} label="Asking the server" />;
  return (
    <div className="server" data-old={error !== null || undefined}>
      <Facts status={status} old={error !== null} />
      <div className="tiles">
        <Rate label="Events a second" rates={rates.events} format={perSecond} />
        <Rate label="Deliveries a second" rates={rates.deliveries} format={perSecond} />
        <Rate label="Delivered a second" rates={rates.delivered_bytes} format={formatBytes} />
        <Rate label="Rows taken in a second" rates={rates.rows_ingested} format={perSecond} />
      </div>
      <Sources sources={status.sources} />
      <LogCard status={status} />
      <IngestList ingest={status.ingest} />
      <DeadLetters rejected={status.totals.rows_rejected} />
      <Sessions status={status} />
      <Errors errors={status.errors} />
    </div>
  );
}

function perSecond(rate: number): string {
  return rate >= 100 ? formatCount(rate) : formatNumber(Math.round(rate * 10) / 10);
}

function Facts({ status, old }: { status: Status; old: boolean }) {
  const facts: [string, string][] = [
    ['Version', status.version],
    ['Up for', formatDuration(status.uptime_ms)],
    ['Connections', formatCount(status.session_count)],
    ['Subscriptions', formatCount(status.subscriptions)],
    ['Distinct filters', formatCount(status.distinct_filters)],
    ['Rows rejected', formatCount(status.totals.rows_rejected)],
  ];
  return (
    <dl className="facts card">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
      {old && <div className="note note-strong">No answer now; these are the last figures</div>}
    </dl>
  );
}

function Sources({ sources }: { sources: readonly Source[] }) {
  return (
    <section className="card panel" aria-labelledby="sources">
      <h2 id="sources">Sources</h2>
      {sources.length === 0 && <p className="quiet">No database is followed.</p>}
      {sources.map(({ name, database, status }) => (
        <article key={name} className="source">
          <header>
            <Light good={status.problem === null} />
            <h3>{name}</h3>
            <span className="quiet">{database}</span>
            <span className="source-lag">{lag(status.lag_events, status.lag_bytes)}</span>
          </header>
          <dl>
            <dt>Mode</dt>
            <dd>
              {status.mode}
              {status.guarantee !== '' && <span className="quiet">: {status.guarantee}</span>}
            </dd>
            <dt>Position</dt>
            <dd className="mono">{status.place ?? 'none yet'}</dd>
            {status.retained_bytes !== null && (
              <>
                <dt>Held back</dt>
                <dd>{formatBytes(status.retained_bytes)} of the database’s log</dd>
              </>
            )}
            <dt>{status.mode === 'LISTEN' ? 'Channels' : 'Tables'}</dt>
            <dd>{status.tables.length === 0 ? 'none' : status.tables.join(', ')}</dd>
          </dl>
          {status.problem !== null && <p className="problem">{status.problem}</p>}
        </article>
      ))}
    </section>
  );
}

function lag(events: number | null, bytes: number | null): string {
  if (events === null) {
    if (bytes === null) return '';
    return bytes < UP_TO_DATE_BYTES ? 'up to date' : `${formatBytes(bytes)} behind`;
  }
  return events === 0 ? 'up to date' : `${formatCount(events)} ${events === 1 ? 'event' : 'events'} behind`;
}

function Light({ good }: { good: boolean }) {
  return (
    <span className="light" data-good={good || undefined}>
      <span className="visually-hidden">{good ? 'well' : 'has a problem'}</span>
    </span>
  );
}

function LogCard({ status }: { status: Status }) {
  const { log } = status;
  return (
    <section className="card panel" aria-labelledby="log">
      <h2 id="log">Log</h2>
      <dl className="pairs">
        <dt>Head</dt>
        <dd className="mono">{log.head}</dd>
        <dt>Oldest</dt>
        <dd className="mono">{log.oldest}</dd>
        <dt>Events kept</dt>
        <dd>{formatCount(log.events)}</dd>
        <dt>On disk</dt>
        <dd>{formatBytes(log.bytes)}</dd>
      </dl>
    </section>
  );
}

function IngestList({ ingest }: { ingest: readonly Ingest[] }) {
  return (
    <section className="card panel wide" aria-labelledby="ingest">
      <h2 id="ingest">Ingest</h2>
      {ingest.length === 0 ? (
        <p className="quiet">
          No outside stream is pulled. Rows can be posted to /v1/tables/&#123;table&#125; at any time.
        </p>
      ) : (
        ingest.map((one) => <IngestSource key={one.name} ingest={one} />)
      )}
    </section>
  );
}

function IngestSource({ ingest }: { ingest: Ingest }) {
  return (
    <article className="source">
      <header>
        <Light good={ingest.connected_since !== null && !ingest.held_back} />
        <h3>{ingest.name}</h3>
        <span className="quiet mono source-url">{ingest.url}</span>
        <span className="source-lag">{ingestState(ingest)}</span>
      </header>
      <dl>
        <dt>Into</dt>
        <dd>{ingest.table}</dd>
        <dt>Rows</dt>
        <dd>{formatCount(ingest.rows)}</dd>
        <dt>Rejected</dt>
        <dd>{formatCount(ingest.rejected)}</dd>
        <dt>Waiting</dt>
        <dd>{waiting(ingest.spool)}</dd>
        <dt>Reconnects</dt>
        <dd>{formatCount(ingest.reconnects)}</dd>
      </dl>
      {ingest.last_error !== null && <p className="problem">{ingest.last_error}</p>}
      {ingest.rejects.length > 0 && (
        <details>
          <summary>Rejected lines</summary>
          <ul className="rejects">
            {ingest.rejects.toReversed().map((reject) => (
              <li key={`${reject.time} ${reject.line}`}>
                <span>
                  {clock(reject.time)}, line {formatCount(reject.line)}: {reject.reason}
                </span>
                <code>{reject.raw}</code>
              </li>
            ))}
          </ul>
        </details>
      )}
    </article>
  );
}

function ingestState({ connected_since: since, held_back: isHeld, rate, spool }: Ingest): string {
  if (spool.full) return 'held back, its spool is full';
  if (isHeld) return 'waits for the database';
  if (since === null) return 'not connected';
  return `${perSecond(rate)} ${perSecond(rate) === '1' ? 'row' : 'rows'} a second`;
}

/** What was read and does not stand yet. */
function waiting({ records, bytes, oldest_ms: oldest }: Spool): string {
  if (records === 0 || oldest === null) return 'nothing';
  return `${formatCount(records)} (${formatBytes(bytes)}), for ${formatDuration(oldest)}`;
}

/** A time of today by its clock, another with its date; whole seconds. */
function clock(ms: number): string {
  return formatShortTime(Math.trunc(ms / 1000) * 1000, 'ms');
}

function Sessions({ status }: { status: Status }) {
  const { sessions, session_count: all } = status;
  return (
    <section className="card panel wide" aria-labelledby="sessions">
      <h2 id="sessions">Connections</h2>
      {sessions.length === 0 ? (
        <p className="quiet">Nobody is connected.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keys
        <section className="scroll-x" tabIndex={0} aria-label="List of connections">
          <table className="list">
            <thead>
              <tr>
                <th scope="col">Connection</th>
                <th scope="col">Transport</th>
                <th scope="col">From</th>
                <th scope="col" className="number">
                  Subscriptions
                </th>
                <th scope="col" className="number">
                  Queued
                </th>
                <th scope="col">State</th>
                <th scope="col" className="number">
                  For
                </th>
              </tr>
            </thead>
            <tbody>
              {sessions.map((session) => (
                <SessionRow key={session.id} session={session} />
              ))}
            </tbody>
          </table>
        </section>
      )}
      {all > sessions.length && <p className="quiet">and {formatCount(all - sessions.length)} more</p>}
    </section>
  );
}

function SessionRow({ session }: { session: Session }) {
  return (
    <tr>
      <td className="mono">{session.id}</td>
      <td>{session.transport}</td>
      <td className="mono">{session.remote ?? '–'}</td>
      <td className="number">{formatCount(session.subscriptions)}</td>
      <td className="number">{formatBytes(session.queued_bytes)}</td>
      <td>{session.behind ? <span className="note note-strong">catching up</span> : 'up to date'}</td>
      <td className="number">{formatDuration(session.connected_ms)}</td>
    </tr>
  );
}

function Errors({ errors }: { errors: Status['errors'] }) {
  return (
    <section className="card panel wide" aria-labelledby="errors">
      <h2 id="errors">Recent errors</h2>
      {errors.length === 0 ? (
        <p className="quiet">None.</p>
      ) : (
        <ul className="errors">
          {errors.map((error) => (
            <li key={`${error.time_ms} ${error.message}`}>
              <time dateTime={new Date(error.time_ms).toISOString()}>{clock(error.time_ms)}</time>
              <span>{error.message}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
