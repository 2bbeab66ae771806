// The grid: only the rows in sight are in the document; arrow keys move, Enter opens a row, news flashes.

import type { Column, LiveSnapshot, Table } from '@rowcast/client';
import {
  type CSSProperties,
  type KeyboardEvent,
  type ReactNode,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from 'react';
import { isNumericType } from '../../chart/column';
import { Skeleton } from '../../ui/empty';
import { Icon } from '../../ui/icon';
import type { TableView } from './address';
import { Details } from './details';
import { type Displayed, Flashes } from './flash';
import { shortValue } from './value';
import { columnWidths } from './widths';

interface Props {
  readonly table: Table;
  readonly columns: readonly Column[];
  readonly snapshot: LiveSnapshot;
  readonly sort: TableView['sort'];
  readonly onSort: (sort: NonNullable<TableView['sort']>) => void;
  readonly empty: ReactNode;
}

interface Cell {
  readonly row: number;
  readonly column: number;
}

export const ROW_HEIGHT = 33;
const HEAD_HEIGHT = 47;
const OVERSCAN = 8;

export function Grid({ table, columns, snapshot, sort, onSort, empty }: Props) {
  const id = useId();
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useDisplayed(snapshot);
  const [first, count] = useVisible(scroller);
  const [active, setActive] = useState<Cell>({ row: 0, column: 0 });
  const [open, setOpen] = useState<{ key: string; column: string } | null>(null);
  const widths = useWidths(columns, snapshot);
  const from = Math.max(0, first - OVERSCAN);
  const visible = rows.slice(from, first + count + OVERSCAN);
  const opened = open === null ? undefined : rows.find((row) => row.key === open.key);
  const show = (cell: Cell) => {
    const row = rows[cell.row];
    const column = columns[cell.column];
    if (row !== undefined && column !== undefined) setOpen({ key: row.key, column: column.name });
  };
  const close = () => {
    setOpen(null);
    scroller.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget) return;
    if (event.key === 'Enter') return show(active);
    if (event.key === 'Escape') return setOpen(null);
    const next = move(active, event, rows.length, columns.length, count);
    if (next === null) return;
    event.preventDefault();
    setActive(next);
    reveal(scroller.current, next, widths);
  };
  if (snapshot.status === 'loading' && snapshot.rows.length === 0) {
    return (
      <div className="card grid-card">
        <Skeleton lines={12} label={`Reading the rows of ${table.name}`} />
      </div>
    );
  }
  const style: CSSProperties & Record<'--columns', string> = {
    '--columns': widths
      .map((width, i) => (i === widths.length - 1 ? `minmax(${width}px, 1fr)` : `${width}px`))
      .join(' '),
  };
  return (
    <div className="grid-area" data-open={opened !== undefined || undefined}>
      <div className="card grid-card">
        {/* biome-ignore lint/a11y/useSemanticElements: see the body */}
        <div
          className="grid"
          ref={scroller}
          role="grid"
          tabIndex={0}
          aria-label={`Rows of ${table.name}`}
          aria-rowcount={rows.length + 1}
          aria-colcount={columns.length}
          aria-activedescendant={
            active.row >= from && active.row < from + visible.length
              ? `${id}-${active.row}-${active.column}`
              : undefined
          }
          style={style}
          onKeyDown={onKeyDown}
        >
          <Head columns={columns} tableKey={table.key} sort={sort} onSort={onSort} />
          {/* biome-ignore lint/a11y/useSemanticElements: rows in sight only, which a table cannot have */}
          <div className="grid-body" role="rowgroup" style={{ height: rows.length * ROW_HEIGHT }}>
            {visible.map((row, i) => (
              <GridRow
                key={row.key}
                id={id}
                index={from + i}
                shown={row}
                columns={columns}
                active={active.row === from + i ? active.column : null}
                opened={open?.key === row.key}
                onPick={(column) => {
                  setActive({ row: from + i, column });
                  show({ row: from + i, column });
                }}
              />
            ))}
          </div>
        </div>
        {rows.length === 0 && <div className="grid-empty">{empty}</div>}
      </div>
      {opened !== undefined && open !== null && (
        <Details row={opened.row} columns={columns} tableKey={table.key} column={open.column} onClose={close} />
      )}
    </div>
  );
}

/** The rows with those just gone, kept until their fading is over. */
function useDisplayed(snapshot: LiveSnapshot): readonly Displayed[] {
  const flashes = useRef<Flashes>(null);
  flashes.current ??= new Flashes();
  const seen = useRef<LiveSnapshot>(null);
  const [, again] = useReducer((n: number) => n + 1, 0);
  const now = performance.now();
  if (seen.current !== snapshot) {
    seen.current = snapshot;
    flashes.current.next(snapshot, now);
  }
  const { rows, until } = flashes.current.display(now);
  // After every render: a timer may be early by a fraction of a millisecond, and then there is still something to wait for.
  useEffect(() => {
    if (until === null) return;
    const timer = setTimeout(again, Math.max(16, until - performance.now()));
    return () => clearTimeout(timer);
  });
  return rows;
}

/** First row in sight and how many. */
function useVisible(scroller: React.RefObject<HTMLDivElement | null>): [number, number] {
  const [range, setRange] = useState<[number, number]>([0, 40]);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const update = () => {
      const first = Math.floor(element.scrollTop / ROW_HEIGHT);
      const count = Math.ceil(element.clientHeight / ROW_HEIGHT);
      setRange((old) => (old[0] === first && old[1] === count ? old : [first, count]));
    };
    update();
    element.addEventListener('scroll', update, { passive: true });
    const resize = new ResizeObserver(update);
    resize.observe(element);
    return () => {
      element.removeEventListener('scroll', update);
      resize.disconnect();
    };
  });
  return range;
}

/** Widths stay as they were for the first rows: columns that move under the eye cannot be read. */
function useWidths(columns: readonly Column[], snapshot: LiveSnapshot): readonly number[] {
  const names = columns.map(({ name }) => name).join('\n');
  const ready = snapshot.rows.length > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  return useMemo(() => columnWidths(columns, snapshot.rows), [names, ready]);
}

/** Where a key leads from a cell; `null` for keys that do not move. */
function move(at: Cell, event: KeyboardEvent, rows: number, columns: number, page: number): Cell | null {
  const target = moved(at, event, rows, columns, page);
  if (target === null) return null;
  const within = (value: number, length: number) => Math.max(0, Math.min(length - 1, value));
  return { row: within(target.row, rows), column: within(target.column, columns) };
}

function moved({ row, column }: Cell, event: KeyboardEvent, rows: number, columns: number, page: number): Cell | null {
  const far = event.ctrlKey || event.metaKey;
  switch (event.key) {
    case 'ArrowUp':
      return { row: row - 1, column };
    case 'ArrowDown':
      return { row: row + 1, column };
    case 'ArrowLeft':
      return { row, column: column - 1 };
    case 'ArrowRight':
      return { row, column: column + 1 };
    case 'PageUp':
      return { row: row - page, column };
    case 'PageDown':
      return { row: row + page, column };
    case 'Home':
      return { row: far ? 0 : row, column: 0 };
    case 'End':
      return { row: far ? rows - 1 : row, column: columns - 1 };
    default:
      return null;
  }
}

function reveal(element: HTMLElement | null, { row, column }: Cell, widths: readonly number[]): void {
  if (element === null) return;
  const top = row * ROW_HEIGHT;
  const room = element.clientHeight - HEAD_HEIGHT - ROW_HEIGHT;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top > element.scrollTop + room) element.scrollTop = top - room;
  const left = widths.slice(0, column).reduce((sum, width) => sum + width, 0);
  const right = left + (widths[column] ?? 0);
  if (left < element.scrollLeft) element.scrollLeft = left;
  else if (right > element.scrollLeft + element.clientWidth) element.scrollLeft = right - element.clientWidth;
}

interface HeadProps {
  readonly columns: readonly Column[];
  readonly tableKey: readonly string[];
  readonly sort: TableView['sort'];
  readonly onSort: Props['onSort'];
}

function Head({ columns, tableKey, sort, onSort }: HeadProps) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the body
    // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus, its active cell is named
    <div className="grid-head" role="row" aria-rowindex={1}>
      {columns.map(({ name, type }) => {
        const sorted = sort?.column === name ? (sort.descending ? 'descending' : 'ascending') : 'none';
        return (
          // biome-ignore lint/a11y/useSemanticElements: see the body
          // biome-ignore lint/a11y/useFocusableInteractive: the button inside has it
          <div
            key={name}
            className="grid-column"
            data-end={isNumericType(type) || undefined}
            role="columnheader"
            aria-sort={sorted}
          >
            <button type="button" onClick={() => onSort({ column: name, descending: sorted === 'ascending' })}>
              <span className="grid-name">{name}</span>
              {sorted !== 'none' && <Icon name={sorted === 'ascending' ? 'up' : 'down'} />}
              <span className="grid-type">
                {tableKey.includes(name) && 'key '}
                {type.toLowerCase()}
              </span>
            </button>
          </div>
        );
      })}
    </div>
  );
}

interface RowProps {
  readonly id: string;
  readonly index: number;
  readonly shown: Displayed;
  readonly columns: readonly Column[];
  readonly active: number | null;
  readonly opened: boolean;
  readonly onPick: (column: number) => void;
}

function GridRow({ id, index, shown, columns, active, opened, onPick }: RowProps) {
  const { row, flash } = shown;
  const turn = flash === undefined ? undefined : flash.serial % 2 === 0 ? 'a' : 'b';
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the body
    // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus, its active cell is named
    <div
      className="grid-row"
      role="row"
      aria-rowindex={index + 2}
      data-op={flash?.op}
      data-turn={turn}
      data-opened={opened || undefined}
      style={{ transform: `translateY(${index * ROW_HEIGHT}px)` }}
    >
      {columns.map(({ name, type }, column) => {
        const { kind, text } = shortValue(row[name], type);
        const end = kind === 'number' || (kind === 'null' && isNumericType(type));
        return (
          // biome-ignore lint/a11y/useSemanticElements: see the body
          // biome-ignore lint/a11y/useFocusableInteractive: the grid has the focus, its active cell is named
          // biome-ignore lint/a11y/useKeyWithClickEvents: Enter on the grid does the same
          <div
            key={name}
            id={`${id}-${index}-${column}`}
            className="grid-cell"
            role="gridcell"
            data-kind={kind}
            data-end={end || undefined}
            data-active={active === column || undefined}
            data-changed={flash?.columns.has(name) || undefined}
            onClick={() => onPick(column)}
          >
            <span>{text}</span>
          </div>
        );
      })}
    </div>
  );
}
