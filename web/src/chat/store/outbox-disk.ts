// Letters on this machine's disk, so that they outlive the page. Where the browser has none (a private window), in memory.

import type { Letter } from './outbox';

const NAME = 'rowcast-chat';
const STORE = 'outbox';

export interface Disk {
  readonly all: () => Promise<readonly Letter[]>;
  readonly put: (letter: Letter) => Promise<void>;
  readonly remove: (nonce: string) => Promise<void>;
  readonly clear: () => Promise<void>;
}

export async function openDisk(): Promise<Disk> {
  try {
    return onDisk(await asked(upgraded(indexedDB.open(NAME, 1))));
  } catch {
    return inMemory();
  }
}

function upgraded(request: IDBOpenDBRequest): IDBOpenDBRequest {
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'nonce' });
  return request;
}

function onDisk(database: IDBDatabase): Disk {
  const store = (mode: IDBTransactionMode) => database.transaction(STORE, mode).objectStore(STORE);
  const change = async (how: (store: IDBObjectStore) => IDBRequest) => {
    const transaction = database.transaction(STORE, 'readwrite', { durability: 'strict' });
    how(transaction.objectStore(STORE));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  };
  return {
    all: () => asked<Letter[]>(store('readonly').getAll()),
    put: (letter) => change((letters) => letters.put(letter)),
    remove: (nonce) => change((letters) => letters.delete(nonce)),
    clear: () => change((letters) => letters.clear()),
  };
}

export function inMemory(): Disk {
  const letters = new Map<string, Letter>();
  return {
    all: async () => [...letters.values()],
    put: async (letter) => void letters.set(letter.nonce, letter),
    remove: async (nonce) => void letters.delete(nonce),
    clear: async () => letters.clear(),
  };
}

function asked<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
