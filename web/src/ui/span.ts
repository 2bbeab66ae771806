// A part of a text, counted in characters as the server counts them (code points).

/** The text before the part, the part, and the text after it. A part at the end is a space, so that it can be seen. */
export function splitAt(
  text: string,
  at: { readonly offset: number; readonly length: number },
): [string, string, string] {
  const characters = Array.from(text);
  const from = Math.min(Math.max(0, at.offset), characters.length);
  const to = Math.min(characters.length, from + Math.max(1, at.length));
  const part = characters.slice(from, to).join('');
  return [characters.slice(0, from).join(''), part || '\u00a0', characters.slice(to).join('')];
}
