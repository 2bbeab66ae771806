/**
 * What a transport offers to the runtime. WebSocket and event streams look the same from there.
 */
import type { Incoming } from './machine.ts';
import type { ClientMessage, Malformed } from './protocol.ts';
import type { Problem } from './subscription.ts';

export interface Carrier {
  /** `text` is the message as JSON. */
  readonly send: (message: ClientMessage, text: string) => void;
  /** Says nothing afterwards. */
  readonly close: () => void;
}

export interface CarrierListener {
  readonly message: (message: Incoming | Malformed, text: string) => void;
  /** The carrier has ended, or never began. Said once. */
  readonly lost: (problem: Problem) => void;
}

export type OpenCarrier = (listener: CarrierListener) => Carrier;
