// Something above everything, at the element that it belongs to: no scrolling box cuts it off. It goes where that goes.

import { type ReactNode, useEffect, useLayoutEffect, useRef } from 'react';

interface Props {
  readonly className: string;
  /** Where there is room for it. */
  readonly prefer: 'above' | 'below';
  readonly onClose: () => void;
  readonly children: ReactNode;
}

const GAP = 6;

export function Floating({ className, prefer, onClose, children }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  const leave = useRef(onClose);
  useEffect(() => {
    leave.current = onClose;
  });
  useLayoutEffect(() => {
    const box = ref.current;
    const anchor = box?.parentElement;
    if (box === null || anchor == null) return;
    box.showPopover();
    place(box, anchor.getBoundingClientRect(), prefer);
    const onScroll = ({ target }: Event) => {
      if (!(target instanceof Node && target.contains(anchor))) return;
      const rect = anchor.getBoundingClientRect();
      if (rect.bottom < 0 || rect.top > innerHeight) leave.current();
      else place(box, rect, prefer);
    };
    document.addEventListener('scroll', onScroll, true);
    return () => document.removeEventListener('scroll', onScroll, true);
  }, [prefer]);
  return (
    <div ref={ref} popover="manual" className={`floating ${className}`}>
      {children}
    </div>
  );
}

function place(box: HTMLElement, anchor: DOMRect, prefer: Props['prefer']): void {
  const { offsetWidth: width, offsetHeight: height } = box;
  const [above, below] = [anchor.top - GAP - height, anchor.bottom + GAP];
  const fitsBelow = below + height <= innerHeight - GAP;
  const isBelow = prefer === 'below' ? fitsBelow || above < GAP : above < GAP;
  const isLeft = anchor.left + anchor.width / 2 < innerWidth / 2;
  const left = isLeft ? anchor.left : anchor.right - width;
  const top = isBelow ? below : above;
  box.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
  box.style.top = `${Math.max(GAP, Math.min(top, innerHeight - height - GAP))}px`;
}
