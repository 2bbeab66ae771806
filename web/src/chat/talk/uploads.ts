// Files on their way into a talk, each with how far it is.

import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { type Config, inWords, Refused, type Upload, upload } from '../api';
import { useChat } from '../chat';
import type { FileRow } from '../store/rows';
import { bytesOf } from './words';

/** Larger ones are shown by their name until they are there. */
const PREVIEW_MAX = 4_000_000;

export interface Going {
  readonly key: string;
  readonly file: File;
  /** A picture of it, as an address that holds it. */
  readonly preview: string | null;
  /** 0 to 1. */
  readonly progress: number;
  readonly row: FileRow | null;
  readonly problem: string | null;
}

export interface Uploads {
  readonly all: readonly Going[];
  readonly done: readonly FileRow[];
  /** None is on its way, and none has failed. */
  readonly idle: boolean;
  readonly add: (files: readonly File[]) => void;
  readonly again: (key: string) => void;
  readonly remove: (key: string) => void;
  readonly clear: () => void;
}

export function useUploads(room: string, config: Config | null): Uploads {
  const { files } = useChat();
  const [all, setAll] = useState<readonly Going[]>([]);
  const running = useRef(new Map<string, Upload>());
  const change = useCallback((key: string, part: Partial<Going>) => {
    setAll((list) => list.map((one) => (one.key === key ? { ...one, ...part } : one)));
  }, []);
  const begin = useCallback(
    (key: string, file: File) => {
      const going = upload(file, room, (progress) => change(key, { progress }));
      running.current.set(key, going);
      going.done
        .then((row) => {
          files.put(row);
          change(key, { row, progress: 1 });
        })
        .catch((thrown: unknown) => {
          // Too many at once: it is tried again when there is room.
          if (thrown instanceof Refused && thrown.status === 429) setTimeout(begin, thrown.retryMs ?? 2_000, key, file);
          else change(key, { problem: inWords(thrown) });
        })
        .finally(() => running.current.delete(key));
    },
    [room, change, files],
  );
  useEffect(() => {
    const { current } = running;
    return () => {
      for (const going of current.values()) going.cancel();
    };
  }, []);

  return useMemo<Uploads>(() => {
    const add = (list: readonly File[]) => {
      for (const file of list) {
        const key = crypto.randomUUID();
        const problem = tooLarge(file, config);
        setAll((before) => [...before, { key, file, preview: null, progress: 0, row: null, problem }]);
        void previewOf(file).then((preview) => change(key, { preview }));
        if (problem === null) begin(key, file);
      }
    };
    const again = (key: string) => {
      const going = all.find((one) => one.key === key);
      if (going === undefined) return;
      change(key, { problem: null, progress: 0 });
      begin(key, going.file);
    };
    const remove = (key: string) => {
      running.current.get(key)?.cancel();
      setAll((before) => before.filter((one) => one.key !== key));
    };
    return {
      all,
      done: all.flatMap(({ row }) => row ?? []),
      idle: all.every(({ row }) => row !== null),
      add,
      again,
      remove,
      clear: () => setAll([]),
    };
  }, [all, begin, change, config]);
}

function tooLarge(file: File, config: Config | null): string | null {
  if (config === null || file.size <= config.max_bytes) return null;
  return `Larger than ${bytesOf(config.max_bytes)}.`;
}

/** As a data address: the page's policy allows no other. */
function previewOf(file: File): Promise<string | null> {
  if (!/^image\/(png|jpeg|webp|gif)$/.test(file.type) || file.size > PREVIEW_MAX) return Promise.resolve(null);
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(typeof reader.result === 'string' ? reader.result : null);
    reader.onerror = () => resolve(null);
    reader.readAsDataURL(file);
  });
}
