// The page of many a tutorial: says that it is ready, and shows the titles of rows as they are added.
// Written as they are, for the oldest browsers and clients: no modules, no arrow functions.

var socket = io.connect('http://localhost:9000');

function state(name, text) {
  var element = document.getElementById('state');
  element.setAttribute('data-state', name);
  element.textContent = text;
}

socket.on('connected', function (data) {
  if (data.connected) state('live', 'live');
  socket.emit('ready for data', {});
});

socket.on('update', function (data) {
  var record = document.createElement('li');
  record.textContent = data.message.payload;
  var records = document.getElementById('records');
  records.insertBefore(record, records.firstChild);
  document.getElementById('none').hidden = true;
});

socket.on('disconnect', function () {
  state('waiting', 'connection lost, connecting again');
});
