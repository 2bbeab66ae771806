/** Event streams in any pieces. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventStreamReader } from '../src/event-stream.ts';

test('reads fields, comments and ids as the standard says', () => {
  const text =
    ': hi\nretry: 5\nevent: change\nid: 1-2\ndata: {"a":\ndata:1}\n\nid: 1-3\n\ndata\n\n: only\n\nid\ndata: x\n\n';
  expect(new EventStreamReader().read(text)).toEqual([
    { event: 'change', data: '{"a":\n1}', id: '1-2' },
    { event: 'message', data: '', id: '1-3' },
    { event: 'message', data: '', id: undefined },
    { event: 'message', data: 'x', id: '' },
  ]);
});

test('pieces and line ends make no difference', () => {
  const events = fc.array(
    fc.record({
      event: fc.constantFrom('change', 'gap'),
      data: fc.json().map((json) => json.replace(/[\r\n]/g, '')),
      id: fc.string({ unit: fc.constantFrom('1', '-') }),
    }),
  );
  fc.assert(
    fc.property(events, fc.constantFrom('\n', '\r\n', '\r'), fc.array(fc.nat({ max: 9 })), (events, end, cuts) => {
      const lines = events.flatMap(({ event, data, id }) => [`event: ${event}`, `data: ${data}`, `id: ${id}`, '']);
      let rest = lines.map((line) => line + end).join('');
      const reader = new EventStreamReader();
      const read = cuts.flatMap((cut) => {
        const piece = rest.slice(0, cut);
        rest = rest.slice(cut);
        return reader.read(piece);
      });
      // A single carriage return at the end shows to be a line's end with the next character only.
      const all = [...read, ...reader.read(rest), ...reader.read(end === '\r' ? ': ' : '')];
      expect(all).toEqual(events);
    }),
  );
});
