// A list of any length in which only the lines near the view exist. What the reader looks at stays where it is, whatever is added above,
// below, or grows; at the end it follows the end.

import {
  type ReactNode,
  type Ref,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
} from 'react';
import { flushSync } from 'react-dom';
import { type Layout, layoutOf, lineAt, rangeOf } from '../store/heights';

/** How far beyond the view lines exist. */
const EXTRA = 700;
/** So near to the end it is the end. */
const END = 40;
/** So near to an edge the next page is asked for. */
const NEAR = 900;

export interface Keyed {
  readonly key: string;
}

export interface ScrollerHandle {
  readonly toEnd: () => void;
  readonly toLine: (key: string) => void;
  readonly element: HTMLDivElement | null;
}

interface Props<L extends Keyed> {
  readonly lines: readonly L[];
  readonly guess: (line: L) => number;
  /** Whether it keeps its neighbours when lines are added; a day's line does not. */
  readonly isFixed: (line: L) => boolean;
  readonly render: (line: L) => ReactNode;
  readonly label: string;
  /** There is nothing behind the last line. */
  readonly ends: boolean;
  readonly onNearTop: () => void;
  readonly onNearEnd: () => void;
  /** The last line that is in view, and whether the view is at the end. */
  readonly onView: (last: number, atEnd: boolean) => void;
  readonly ref: Ref<ScrollerHandle>;
}

/** What stays in its place: a line at so many pixels below the view's top, or the end. */
type Anchor = 'end' | { readonly key: string; readonly below: number };

interface Placed<L> {
  readonly top: number;
  readonly layout: Layout;
  readonly lines: readonly L[];
}

export function Scroller<L extends Keyed>(props: Props<L>) {
  const { lines, guess, render, label, ref } = props;
  const view = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const heights = useRef(new Map<string, number>());
  const anchor = useRef<Anchor>('end');
  /** What was drawn last, and at which scroll position. */
  const placed = useRef<Placed<L>>({ top: 0, layout: layoutOf([]), lines: [] });
  const [version, redraw] = useReducer((count: number) => count + 1, 0);
  const latest = useRef(props);
  latest.current = props;

  const indexes = useMemo(() => new Map(lines.map(({ key }, index) => [key, index])), [lines]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that a height has changed
  const layout = useMemo(
    () => layoutOf(lines.map((line) => heights.current.get(line.key) ?? guess(line))),
    [lines, guess, version],
  );
  const height = view.current?.clientHeight ?? 800;
  const top = topOf(anchor.current, layout, indexes, height);
  const { start, end } = rangeOf(layout, top, top + height, EXTRA);

  const tellView = useCallback((at: Layout, y: number, size: number) => {
    const { current } = latest;
    if (current.lines.length === 0) return;
    if (y < NEAR) current.onNearTop();
    if (at.total - y - size < NEAR) current.onNearEnd();
    const below = lineAt(at, y + size - 8);
    current.onView(below, at.total - y - size < END);
  }, []);

  /** Takes over where the reader has scrolled to, also before the browser says so. Whether they have. */
  const adopt = useCallback((): boolean => {
    const scroller = view.current;
    const { top: before, layout: drawn, lines: shown } = placed.current;
    if (scroller === null || Math.abs(scroller.scrollTop - before) < 1) return false;
    const { scrollTop, clientHeight, scrollHeight } = scroller;
    placed.current = { ...placed.current, top: scrollTop };
    // Content that became shorter has moved it.
    if (anchor.current === 'end' && scrollHeight - scrollTop - clientHeight < 1) return false;
    const isEnd = latest.current.ends && drawn.total - scrollTop - clientHeight < END;
    anchor.current = isEnd ? 'end' : anchorAt(scrollTop, drawn, shown, latest.current.isFixed);
    return true;
  }, []);

  const settle = useCallback(() => {
    const [scroller, content] = [view.current, list.current];
    if (scroller === null || content === null) return;
    const [isMoved, isChanged] = [adopt(), measured(content, heights.current)];
    if (isMoved || isChanged) redraw();
    const { lines: shown, guess: height, ends } = latest.current;
    const now = layoutOf(shown.map((line) => heights.current.get(line.key) ?? height(line)));
    const places = new Map(shown.map(({ key }, index) => [key, index]));
    const end = scroller.scrollHeight - scroller.clientHeight;
    const wanted = anchor.current === 'end' ? end : topOf(anchor.current, now, places, scroller.clientHeight);
    if (Math.abs(scroller.scrollTop - wanted) > 0.5) scroller.scrollTop = wanted;
    placed.current = { top: scroller.scrollTop, layout: now, lines: shown };
    if (ends && now.total - scroller.scrollTop - scroller.clientHeight < END) anchor.current = 'end';
    tellView(now, scroller.scrollTop, scroller.clientHeight);
  }, [tellView, adopt]);

  useLayoutEffect(settle);

  useEffect(() => {
    const [scroller, content] = [view.current, list.current];
    if (scroller === null || content === null) return;
    const observer = new ResizeObserver(settle);
    observer.observe(scroller);
    observer.observe(content);
    return () => observer.disconnect();
  }, [settle]);

  const onScroll = () => {
    const scroller = view.current;
    if (scroller === null || !adopt()) return;
    const y = scroller.scrollTop;
    const within = (extra: number) => {
      const range = rangeOf(layout, y, y + scroller.clientHeight, extra);
      return range.start >= start && range.end <= end;
    };
    // What is in view is drawn before the browser paints, what is near it when there is time.
    if (!within(0)) flushSync(redraw);
    else if (!within(EXTRA / 2)) redraw();
    else tellView(layout, y, scroller.clientHeight);
  };

  useImperativeHandle(
    ref,
    () => ({
      get element() {
        return view.current;
      },
      toEnd: () => {
        anchor.current = 'end';
        redraw();
      },
      toLine: (key) => {
        anchor.current = { key, below: Math.round((view.current?.clientHeight ?? 600) / 3) };
        redraw();
      },
    }),
    [],
  );

  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard
    <section className="scroller" ref={view} onScroll={onScroll} aria-label={label} tabIndex={0}>
      <ul
        ref={list}
        className="lines"
        style={{
          paddingTop: layout.tops[start] ?? 0,
          paddingBottom: layout.total - (layout.tops[end] ?? layout.total),
        }}
      >
        {lines.slice(start, end).map((line) => render(line))}
      </ul>
    </section>
  );
}

function anchorAt<L extends Keyed>(
  y: number,
  layout: Layout,
  lines: readonly L[],
  isFixed: (line: L) => boolean,
): Anchor {
  const first = lineAt(layout, y);
  const at = Math.max(
    first,
    lines.findIndex((line, index) => index >= first && isFixed(line)),
  );
  const line = lines[at];
  return line === undefined ? 'end' : { key: line.key, below: (layout.tops[at] ?? 0) - y };
}

function topOf(anchor: Anchor, layout: Layout, indexes: ReadonlyMap<string, number>, height: number): number {
  const end = Math.max(0, layout.total - height);
  if (anchor === 'end') return end;
  const index = indexes.get(anchor.key);
  if (index === undefined) return end;
  return Math.min(end, Math.max(0, (layout.tops[index] ?? 0) - anchor.below));
}

/** Whether a line is not as high as it was thought to be. */
function measured(content: HTMLElement, heights: Map<string, number>): boolean {
  let isChanged = false;
  for (const line of content.children) {
    const { key } = (line as HTMLElement).dataset;
    const height = line.getBoundingClientRect().height;
    if (key === undefined || Math.abs((heights.get(key) ?? -1) - height) < 0.5) continue;
    heights.set(key, height);
    isChanged = true;
  }
  return isChanged;
}
