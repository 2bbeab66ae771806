// A message's text: as it was written, with its addresses as links. Markup in it is text.

const ADDRESS = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]}]/g;
const EMOJI_ONLY =
  /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}|\u200d|\ufe0f|\u20e3|\s)+$/u;
const EMOJI = /\p{Extended_Pictographic}|\p{Regional_Indicator}{2}/gu;

const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;

/** `space`: what stands in the corner of the message, and has to fit beside the last line. */
export function Body({ text, space }: { text: string; space: string }) {
  const isBelow = isBig(text) || FROM_RIGHT.test(text);
  return (
    <p className={`body ${isBig(text) ? 'big' : ''} ${isBelow ? 'closed' : ''}`} dir="auto">
      {parts(text).map(({ at, text: part, isLink }) =>
        isLink ? (
          <a key={at} href={part} target="_blank" rel="noopener noreferrer nofollow">
            {part}
          </a>
        ) : (
          part
        ),
      )}
      {!isBelow && <span className="meta-space" data-text={space} aria-hidden="true" />}
    </p>
  );
}

interface Part {
  readonly at: number;
  readonly text: string;
  readonly isLink: boolean;
}

export function parts(text: string): readonly Part[] {
  const found: Part[] = [];
  let from = 0;
  for (const match of text.matchAll(ADDRESS)) {
    if (match.index > from) found.push({ at: from, text: text.slice(from, match.index), isLink: false });
    found.push({ at: match.index, text: match[0], isLink: true });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ at: from, text: text.slice(from), isLink: false });
  return found;
}

/** One to three emoji and nothing else. */
export function isBig(text: string): boolean {
  if (text.length > 40 || !EMOJI_ONLY.test(text)) return false;
  const count = text.replace(/\p{Extended_Pictographic}\ufe0f?\u200d/gu, '').match(EMOJI)?.length ?? 0;
  return count > 0 && count <= 3;
}
