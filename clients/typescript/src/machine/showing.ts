/**
 * What is known of who this client is: how far showing the token has come, and what the server made of it.
 */

/**
 * - `none`: nothing is under way
 * - `asked`: the program was asked for a token
 * - `shown`: the server was sent it, and has not answered
 */
export interface Showing {
  /** Whether there is a token to show. */
  readonly wanted: boolean;
  readonly phase: 'none' | 'asked' | 'shown';
  /** The newest question to the program; answers to older ones are of the past. */
  readonly question: number;
  /** What was shown last on this connection. */
  readonly token: string | undefined;
  /** A token was refused since the last one that was not: the next refusal is the last. */
  readonly refused: boolean;
  /** How often in a row no token could be had. */
  readonly failures: number;
  /** Whether the server has ever said who this is, and whom it named. */
  readonly known: boolean;
  readonly user: string | undefined;
  /** For whom the server takes this client: what is handed on is for whomever it calls the same. */
  readonly claims: string | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt: number | undefined;
}

export function nothingShown(wanted: boolean): Showing {
  return {
    wanted,
    phase: 'none',
    question: 0,
    token: undefined,
    refused: false,
    failures: 0,
    known: false,
    user: undefined,
    claims: undefined,
    expiresAt: undefined,
  };
}

/** The connection is gone, and with it what was shown on it. The user is kept: what was handed on is theirs. */
export function hidden(showing: Showing): Showing {
  return { ...showing, phase: 'none', question: showing.question + 1, token: undefined, expiresAt: undefined };
}

/** The name of the `auth` message that is under way, which its answer repeats. */
export function refOf({ question }: Showing): string {
  return `auth-${question}`;
}
