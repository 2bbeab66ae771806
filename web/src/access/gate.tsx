// Before the pages: they are there for whom the server lets in, the others see a form.

import type { RowcastErrorLike } from '@rowcast/client';
import { useConnection } from '@rowcast/client/react';
import type { ReactNode } from 'react';
import { Skeleton } from '../ui/empty';
import { LogIn } from './log-in';
import { ENDED, useAccess } from './store';

export function Gate({ children }: { children: ReactNode }) {
  const access = useAccess();
  const { state, error } = useConnection();
  if (access.state === 'asking') return <Skeleton label="Loading the page" />;
  if (access.state === 'out') return <LogIn said={access.said} open={access.open} />;
  if (state === 'unauthenticated') return <LogIn said={whyOut(error)} open={false} />;
  return children;
}

function whyOut(error: RowcastErrorLike | undefined): string {
  if (error?.code !== 'revoked') return ENDED;
  return `You were logged out by an operator${error.message === '' ? '.' : `: ${error.message}.`}`;
}
