// What the server allows, asked once.

import { useEffect } from 'react';
import { api, type Config } from '../api';
import { useCell } from '../chat';
import { Cell } from '../store/cell';

const config = new Cell<Config | null>(null);
let asked = false;

/** `null`: not known yet. */
export function useConfig(): Config | null {
  const known = useCell(config);
  useEffect(() => {
    if (asked) return;
    asked = true;
    api.config().then(config.set, () => {
      asked = false;
    });
  }, []);
  return known;
}
