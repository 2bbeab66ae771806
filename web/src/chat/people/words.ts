// What is made of people's names and links.

/** The first letters of the first and the last word. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => [...(word ?? '')][0] ?? '');
  return letters.join('').toLocaleUpperCase() || '?';
}

/** The first word of a name, where there is room for little. */
export function shortName(name: string): string {
  const first = name.trim().split(/\s+/)[0] ?? '';
  const letters = [...first];
  return letters.length > 16 ? `${letters.slice(0, 15).join('')}…` : first;
}

/** The code of a link, or what was written where it is none. */
export function codeOf(text: string): string {
  return /\/chat\/add\/([^/?#]+)/.exec(text)?.[1] ?? text;
}
