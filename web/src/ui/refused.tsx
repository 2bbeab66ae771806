// What stands where the server did not give what was asked for: why, in words, and what to do.

import type { RowcastErrorLike } from '@rowcast/client';
import type { ReactNode } from 'react';
import { Empty } from './empty';

const TITLES: Readonly<Record<string, string>> = {
  forbidden: 'You may not see this',
  unauthenticated: 'You are not logged in',
  rate_limited: 'That was too much at once',
};

/** `otherwise`: the title where the error is no question of who is looking. */
export function titleOf({ code }: { readonly code: string }, otherwise: string): string {
  return TITLES[code] ?? otherwise;
}

interface Props {
  readonly error: Pick<RowcastErrorLike, 'code' | 'message' | 'hint'>;
  readonly otherwise: string;
  /** What to do, where it is no question of who is looking. */
  readonly children?: ReactNode;
}

export function Refused({ error, otherwise, children }: Props) {
  const { code, message, hint } = error;
  return (
    <Empty title={titleOf(error, otherwise)}>
      <p>{message}</p>
      {hint !== undefined && <p>{hint}</p>}
      {code === 'forbidden' && <p>Ask whoever runs this server for the right, or log in as somebody who has it.</p>}
      {code === 'unauthenticated' && (
        <button type="button" className="button primary" onClick={() => location.reload()}>
          Log in
        </button>
      )}
      {!Object.hasOwn(TITLES, code) && children}
    </Empty>
  );
}

/** Where the rules leave nothing to show. */
export function NothingForYou() {
  return (
    <Empty title="There is no table that you may see">
      <p>The rules of this server show tables to others. Ask whoever runs it, or log in as somebody else.</p>
    </Empty>
  );
}
