// Renders what stands around the canvas at a calm rate, however fast rows arrive.

import { useEffect, useState } from 'react';
import type { Feed } from '../../chart/feed';

/** Renders again when the feed has changed, at most once in `ms`. Returns the feed's version. */
export function usePulse(feed: Feed, ms = 200): number {
  const [version, setVersion] = useState(feed.version);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer = undefined;
      setVersion(feed.version);
    };
    const listen = () => {
      timer ??= setTimeout(show, ms);
    };
    show();
    const stop = feed.subscribe(listen);
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [feed, ms]);
  return version;
}
