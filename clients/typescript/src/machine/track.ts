/**
 * Being seen on a channel: a wish that is told once on each connection, and again when it changes.
 *
 * Pure. At most one message about it is under way; what changes meanwhile is told after it, the newest only.
 */
import type { TrackMessage } from '../protocol.ts';

/** What is to be seen. */
export interface TrackWish {
  readonly state: object | undefined;
  /** Only where the server knows nobody by a token. */
  readonly user: string | undefined;
}

/**
 * - `unsent`: not told on this connection, or there is none
 * - `sent`: told, and not answered
 * - `standing`: the server has it
 * - `resting`: the server cannot take it now; told again at `restUntil`, or on the next connection
 */
export interface Track {
  readonly channel: string;
  readonly wish: TrackWish;
  readonly phase: 'unsent' | 'sent' | 'standing' | 'resting';
  /** The wish has changed since it was sent. */
  readonly changed: boolean;
  readonly rests: number;
  readonly restUntil: number | undefined;
}

export function beginTrack(channel: string, wish: TrackWish): Track {
  return { channel, wish, phase: 'unsent', changed: false, rests: 0, restUntil: undefined };
}

/** The track as sent, and the message that says it. */
export function say(track: Track, handle: number): readonly [Track, TrackMessage] {
  const { channel } = track;
  const { state, user } = track.wish;
  const fields = { ...(state === undefined ? {} : { state }), ...(user === undefined ? {} : { user }) };
  const sent: Track = { ...track, phase: 'sent', changed: false, restUntil: undefined };
  return [sent, { type: 'track', channel, ...fields, ref: trackRef(handle) }];
}

/** The connection is gone. */
export function unsaid(track: Track): Track {
  return { ...track, phase: 'unsent', changed: false, restUntil: undefined };
}

export function trackRef(handle: number): string {
  return `t${handle}`;
}

export function handleOf(ref: string | undefined): number | undefined {
  return ref?.startsWith('t') ? Number(ref.slice(1)) : undefined;
}
