// One row in full, beside the grid; it goes on changing as the row does.

import type { Column, Row } from '@rowcast/client';
import { useEffect, useRef, useState } from 'react';
import { copyText } from '../../ui/empty';
import { Icon } from '../../ui/icon';
import { fullValue, kindOf } from './value';

interface Props {
  readonly row: Row;
  readonly columns: readonly Column[];
  readonly tableKey: readonly string[];
  /** The one that was chosen. */
  readonly column: string;
  readonly onClose: () => void;
}

export function Details({ row, columns, tableKey, column, onClose }: Props) {
  const panel = useRef<HTMLElement>(null);
  const chosen = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another choice is brought into sight
  useEffect(() => {
    chosen.current?.scrollIntoView({ block: 'nearest' });
  }, [column]);
  const title = tableKey.map((name) => fullValue(row[name])).join(', ');
  return (
    <aside
      className="card details"
      aria-label="Row in full"
      ref={panel}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onClose();
      }}
    >
      <header>
        <h2>{title === '' ? 'Row' : `${tableKey.join(', ')} ${title}`}</h2>
        <CopyButton name="the row as JSON" text={() => JSON.stringify(row, null, 2)} />
        <button type="button" className="icon-button small" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div className="details-list">
        {columns.map(({ name, type }) => (
          <div
            key={name}
            className="details-item"
            ref={name === column ? chosen : undefined}
            data-chosen={name === column || undefined}
          >
            <h3>
              {name} <span>{type.toLowerCase()}</span>
            </h3>
            <CopyButton name={name} text={() => fullValue(row[name])} />
            <pre data-kind={kindOf(row[name], type)}>{fullValue(row[name])}</pre>
          </div>
        ))}
      </div>
    </aside>
  );
}

function CopyButton({ name, text }: { name: string; text: () => string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    setCopied(await copyText(text()));
    setTimeout(() => setCopied(false), 1200);
  };
  return (
    <button type="button" className="icon-button small" aria-label={`Copy ${name}`} onClick={copy}>
      <Icon name={copied ? 'check' : 'copy'} />
    </button>
  );
}
