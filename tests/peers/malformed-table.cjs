// What `malformed.cjs` says to servers, and where Rowcast answers otherwise than npm's server, and why.
'use strict';

const text = (bytes) => Object.assign(Buffer.from(bytes), { text: true });
const PLACE = '{"_placeholder":true,"num":0}';

/** Frames on a WebSocket that is in the root namespace, and in no other. */
const FRAMES = {
  // Engine.IO
  'an empty text': [''],
  'an empty binary': [Buffer.alloc(0)],
  'a type that is none': ['9'],
  'a letter': ['x'],
  'open, from a client': ['0'],
  'open with data': ['0{"sid":"x"}'],
  'close': ['1'],
  'ping, from the wrong side or not': ['2'],
  'a probe outside of an upgrade': ['2probe'],
  'a pong that nobody asked for': ['3'],
  'a pong with data': ['3x'],
  'upgrade outside of an upgrade': ['5'],
  'noop': ['6'],
  'base64 in a WebSocket': ['bAQID'],
  'text that is not UTF-8': [text([0x34, 0x32, 0xff, 0xfe])],
  // Socket.IO
  'a message without a packet': ['4'],
  'a packet of no type': ['47'],
  'a packet of a letter': ['4x'],
  'an event without anything': ['42'],
  'an event that is cut off': ['42["message"'],
  'an event that is not JSON': ['42["message",nope]'],
  'an event with something behind it': ['42["message"]x'],
  'an event that is an empty array': ['42[]'],
  'an event that is an object': ['42{}'],
  'an event that is a text': ['42"message"'],
  'an event that is null': ['42null'],
  'an event named by null': ['42[null]'],
  'an event named by an object': ['42[{}]'],
  'an event named by a number': ['42[7,1]'],
  'an event of a reserved name': ['42["connect"]'],
  'an event named disconnect': ['42["disconnect","x"]'],
  'an event named __proto__': ['42["__proto__",1]'],
  'an event of an unknown name': ['42["who",{"__proto__":1}]'],
  'an event with a very long id': [`42${'9'.repeat(40)}["message"]`],
  'an event of a namespace that it is not in': ['42/chat,["message"]'],
  'an event of a namespace that is not there': ['42/nowhere,["message"]'],
  'a namespace without a comma': ['42/chat'],
  'an answer without an id': ['43[]'],
  'an answer that nobody asked for': ['431["x"]'],
  'an answer that is an object': ['431{}'],
  'an answer of a namespace that it is not in': ['43/chat,1[]'],
  'connect again': ['40'],
  'connect with data that is not JSON': ['40/chat,{"a"'],
  'connect with an array': ['40/chat,[]'],
  'connect with a text': ['40/chat,"x"'],
  'connect to a namespace that is not there': ['40/nowhere,'],
  'connect to a namespace that refuses': ['40/closed,'],
  'disconnect from a namespace that it is not in': ['41/chat,'],
  'disconnect with data': ['41{}'],
  'a connect error, from a client': ['44{"message":"x"}'],
  // Binary
  'bytes that nobody announced': [Buffer.from([1, 2, 3])],
  'a binary event without a number': [`45["message",${PLACE}]`],
  'a binary event with a dash alone': [`45-["message",${PLACE}]`],
  'a binary event of none': ['450-["message"]'],
  'a binary event of a number that is none': ['45x-["message"]'],
  'a binary event of very many': ['45999999999999999999-["message"]'],
  'a binary event of a negative number': ['45-1-["message"]'],
  'text where bytes were announced': [`451-["message",${PLACE}]`, '42["message"]'],
  'bytes fewer than announced, then text': [`452-["message",${PLACE},{"_placeholder":true,"num":1}]`, Buffer.from([1]), '42["message"]'],
  'bytes more than announced': [`451-["message",${PLACE}]`, Buffer.from([1]), Buffer.from([2])],
  'a placeholder of bytes that are not there': ['451-["message",{"_placeholder":true,"num":5}]', Buffer.from([1])],
  'a placeholder with a negative number': ['451-["message",{"_placeholder":true,"num":-1}]', Buffer.from([1])],
  'a placeholder with a text': ['451-["message",{"_placeholder":true,"num":"0"}]', Buffer.from([1])],
  'bytes without a placeholder': ['451-["message","x"]', Buffer.from([1])],
  'one placeholder twice': [`451-["message",${PLACE},${PLACE}]`, Buffer.from([1])],
  'a binary event that is no array': ['451-{}', Buffer.from([1])],
  'a placeholder in an event without bytes': [`42["message",${PLACE}]`],
};

/** Bodies that a polling session posts. */
const BODIES = (eio) => {
  const own = (packet) => (eio === 4 ? packet : `${packet.length}:${packet}`);
  const common = {
    'an empty body': { bytes: '' },
    'a body of rubbish': { bytes: 'rubbish' },
    'a body of a packet of no type': { bytes: own('9') },
    'a body of an empty event': { bytes: own('42') },
    'a body that says close': { bytes: own('1') },
    'a body that says upgrade': { bytes: own('5') },
    'a body that is not UTF-8': { bytes: Buffer.from([0x34, 0x32, 0xff]) },
    'a body beyond the limit': { bytes: own(`42["message","${'x'.repeat(1_100_000)}"]`) },
    'a body of another type': { bytes: own('42["message"]'), headers: { 'content-type': 'application/json' } },
    'bytes that nobody announced, in a body': { bytes: own('bAQID') },
  };
  if (eio === 4) {
    return {
      ...common,
      'a separator alone': { bytes: '\x1e' },
      'a separator at the end': { bytes: '42["message"]\x1e' },
      'base64 that is none': { bytes: 'b***' },
      'a body that says it is binary': { bytes: Buffer.from([1, 2, 3]), headers: { 'content-type': 'application/octet-stream' } },
    };
  }
  return {
    ...common,
    'a length without a packet': { bytes: '5:' },
    'a length of none': { bytes: '0:' },
    'a length that is longer than the body': { bytes: '99:42["message"]' },
    'a length that is shorter than the packet': { bytes: '3:42["message"]' },
    'a length that is none': { bytes: 'x:42' },
    'a negative length': { bytes: '-1:42' },
    'a length without end': { bytes: '9'.repeat(400) },
    'base64 that is none': { bytes: '5:b4***' },
    'a binary body that is cut off': { bytes: Buffer.from([0, 9, 255, 0x34]), headers: { 'content-type': 'application/octet-stream' } },
    'a binary body with a wrong mark': { bytes: Buffer.from([7, 1, 255, 0x34]), headers: { 'content-type': 'application/octet-stream' } },
    'a binary body with a length that is none': { bytes: Buffer.from([0, 200, 255, 0x34]), headers: { 'content-type': 'application/octet-stream' } },
    'a binary body without a length': { bytes: Buffer.from([0, 255, 0x34]), headers: { 'content-type': 'application/octet-stream' } },
  };
};

/** Requests that belong to no session. */
const REQUESTS = (eio) => ({
  'no version': { query: '?transport=polling' },
  'a version that is not there': { query: '?EIO=5&transport=polling' },
  'a version that is no number': { query: '?EIO=x&transport=polling' },
  'no transport': { query: `?EIO=${eio}` },
  'a transport that is not there': { query: `?EIO=${eio}&transport=pigeon` },
  'a transport of an object': { query: `?EIO=${eio}&transport=constructor` },
  'a WebSocket without an upgrade': { query: `?EIO=${eio}&transport=websocket` },
  'a session that is not there': { query: `?EIO=${eio}&transport=polling&sid=nobody` },
  'a session that is not there, posted to': { query: `?EIO=${eio}&transport=polling&sid=nobody`, method: 'POST', payload: '2' },
  'an empty session': { query: `?EIO=${eio}&transport=polling&sid=` },
  'a handshake by POST': { query: `?EIO=${eio}&transport=polling`, method: 'POST', payload: '2' },
  'a handshake by PUT': { query: `?EIO=${eio}&transport=polling`, method: 'PUT', payload: '2' },
  'a handshake by DELETE': { query: `?EIO=${eio}&transport=polling`, method: 'DELETE' },
  'nothing at all': { query: '' },
});

const over = (because) => ({ ours: /^over$/, because });
const NO_EVENT = over('an event has a name');
const NO_ANSWER = over('an answer that belongs to nothing is against the protocol');
const VERSION = { ours: /^400 \{"code":5,/, because: 'without a version that is known nothing can be said' };
const CLOSE = over('a client that says close means it');
const LATER = { ours: /^(44\/closed,.* )?open$/, because: "the middleware's answer may come after the next packet's" };

const BOTH = {
  'close': CLOSE,
  'an event without anything': NO_EVENT,
  'a body of an empty event': NO_EVENT,
  'an event with a very long id': over('an id is a number below 2^64, or it would not come back as it was sent'),
  'an answer without an id': NO_ANSWER,
  'connect to a namespace that refuses': LATER,
  'bytes more than announced': {
    ours: /^(451-\["message-back",.*\] (<(04)?01> )?)?over$/,
    because: 'what was right before them is answered if the end leaves time for it',
  },
  'no version': VERSION,
  'a version that is not there': VERSION,
  'a version that is no number': VERSION,
  'an empty session': { ours: /^400 \{"code":1,/, because: 'a session without a name is not there' },
};

const STRICT = over("npm's servers since 3.0 close it, too");
const NO_TYPE = over("npm's parser takes a type that it does not know for nothing at all");

/** By version: what Rowcast does instead, and the reason. */
const DIFFERENCES = {
  4: {
    ...BOTH,
    'bytes without a placeholder': { ours: /^451-.* open$/, because: 'what a program sends back is what it was sent' },
    'one placeholder twice': { ours: /^451-.* open$/, because: 'what a program sends back is what it was sent' },
    'a body beyond the limit': over('the client that gets 413 gives its session up'),
  },
  3: {
    ...BOTH,
    'an empty binary': over('a binary message has a type in front'),
    'a pong that nobody asked for': STRICT,
    'a pong with data': STRICT,
    'base64 in a WebSocket': over('base64 is for text bodies; a WebSocket has binary frames'),
    'a packet of no type': NO_TYPE,
    'a packet of a letter': NO_TYPE,
    'an event of a reserved name': STRICT,
    'an event named disconnect': STRICT,
    'an event of a namespace that it is not in': STRICT,
    'an event of a namespace that is not there': STRICT,
    'a namespace without a comma': STRICT,
    'an answer of a namespace that it is not in': STRICT,
    'connect again': STRICT,
    'connect with data that is not JSON': { ours: /open$/, because: 'a CONNECT of this version has no data, and what stands there is not read' },
    'connect with a text': { ours: /open$/, because: 'a CONNECT of this version has no data, and what stands there is not read' },
    'disconnect from a namespace that it is not in': STRICT,
    'a connect error, from a client': STRICT,
    'bytes that nobody announced': STRICT,
    'bytes that nobody announced, in a body': STRICT,
    'a binary event of none': { ours: /^42\["message-back"\] open$/, because: 'none of none are there' },
    'an empty body': { ours: /^open$/, because: 'no packet is no wrong packet' },
    'a binary body with a wrong mark': over('it is neither text nor binary'),
  },
};

module.exports = { FRAMES, BODIES, REQUESTS, DIFFERENCES };
