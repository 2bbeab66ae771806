// Shows what is notified on the channels that a person names. Keeps the last messages only.
const MESSAGES_MAX = 500;
const channels = document.getElementById("channels");
const messages = document.getElementById("messages");
const input = document.getElementById("channel");
const example = document.getElementById("example");

input.addEventListener("input", () => {
  const name = (input.value || "people").replaceAll("'", "''");
  example.textContent = `select pg_notify('${name}', 'hello')`;
});

document.getElementById("listen").addEventListener("submit", (event) => {
  event.preventDefault();
  listen(input.value);
  input.value = "";
});

function listen(channel) {
  const line = document.createElement("li");
  const state = document.createElement("span");
  const stop = document.createElement("button");
  stop.textContent = "Stop";
  line.append(state, stop);
  channels.append(line);

  const url = new URL(encodeURIComponent(channel), document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  let opened = false;
  const say = (text) => (state.textContent = `${channel}: ${text}`);
  say("connecting");
  socket.onopen = () => {
    opened = true;
    say("listening");
  };
  socket.onclose = () => say(opened ? "closed" : "refused; is the channel allowed by postgres.notify_allow?");
  socket.onmessage = (message) => show(channel, message.data);
  stop.onclick = () => {
    socket.close();
    line.remove();
  };
}

function show(channel, payload) {
  const line = document.createElement("li");
  const name = document.createElement("strong");
  const text = document.createElement("pre");
  name.textContent = channel;
  text.textContent = pretty(payload);
  line.append(name, text);
  messages.prepend(line);
  while (messages.children.length > MESSAGES_MAX) messages.lastChild.remove();
}

function pretty(payload) {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}
