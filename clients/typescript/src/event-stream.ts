/**
 * Server-Sent Events out of text that comes in pieces.
 *
 * Pure. Follows the HTML standard, but also tells of blocks that have only an `id`: they say that nothing happened.
 */

export interface StreamEvent {
  readonly event: string;
  readonly data: string;
  /** The block's own `id`, where it has one. */
  readonly id: string | undefined;
}

export class EventStreamReader {
  #rest = '';
  #event = '';
  #data: string[] = [];
  #id: string | undefined;

  /** The events that `text` completes. */
  read(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    this.#rest += text;
    // A carriage return at the end may be half of a line's end.
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = line === '' ? this.#end() : this.#field(line);
      if (event !== undefined) {
        events.push(event);
      }
    }
    return events;
  }

  #field(line: string): undefined {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'event') {
      this.#event = value;
    } else if (name === 'data') {
      this.#data.push(value);
    } else if (name === 'id' && !value.includes('\0')) {
      this.#id = value;
    }
  }

  #end(): StreamEvent | undefined {
    const event = { event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id };
    const empty = this.#data.length === 0 && this.#id === undefined;
    this.#event = '';
    this.#data = [];
    this.#id = undefined;
    return empty ? undefined : event;
  }
}
