// A speedometer and a chart of the event `newData`: the last points, and then every one that is stored. No library: the browser's own
// EventSource connects again by itself and says where it was, so that nothing is missing and nothing comes twice.

const MOST = 60; // the end of the dial
const WINDOW_MS = 5 * 60_000;
const SILENCE_MS = 5_000;
const KEPT = 1_200;

/** Oldest first. */
let points = [];

function follow() {
  const stream = new EventSource(`/v1/stream?channel=event:newData&snapshot=true&limit=${KEPT}`);
  let hasHistory = false;
  stream.onopen = () => {
    if (!hasHistory) points = []; // the last connection broke before it was complete
    say('live', 'live');
  };
  stream.onerror = () => say('waiting', 'connection lost, connecting again');
  stream.addEventListener('subscribed', () => {
    hasHistory = true;
    draw();
  });
  stream.addEventListener('newData', (event) => {
    const { time, speed } = JSON.parse(event.data); // both are text
    points.push({ time: Number(time), speed: Number(speed) });
    if (points.length > KEPT) points.shift();
    draw();
  });
  // Something can no longer be told (Rowcast was away for longer than its log keeps): the history is read again.
  stream.addEventListener('gap', () => {
    stream.close();
    follow();
  });
}

function say(state, text) {
  const element = document.getElementById('state');
  element.dataset.state = state;
  element.textContent = text;
}

const CENTER = { x: 120, y: 120 };
const RADIUS = 96;
/** Degrees from straight up, at 0 and at the most. */
const SWEEP = [-120, 120];

function angle(speed) {
  const part = Math.min(Math.max(speed / MOST, 0), 1);
  return SWEEP[0] + part * (SWEEP[1] - SWEEP[0]);
}

function at(degrees, radius) {
  const radians = (degrees * Math.PI) / 180;
  return [CENTER.x + radius * Math.sin(radians), CENTER.y - radius * Math.cos(radians)];
}

function arc(to) {
  const [x0, y0] = at(SWEEP[0], RADIUS);
  const [x1, y1] = at(to, RADIUS);
  return `M ${x0} ${y0} A ${RADIUS} ${RADIUS} 0 ${to - SWEEP[0] > 180 ? 1 : 0} 1 ${x1} ${y1}`;
}

function svg(name, attributes, text = '') {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function drawScale() {
  document.querySelector('.scale').setAttribute('d', arc(SWEEP[1]));
  const ticks = document.querySelector('.ticks');
  for (let speed = 0; speed <= MOST; speed += 10) {
    const degrees = angle(speed);
    const [[x1, y1], [x2, y2], [x, y]] = [84, 78, 66].map((radius) => at(degrees, radius));
    ticks.append(svg('line', { x1, y1, x2, y2 }), svg('text', { x, y }, String(speed)));
  }
}

function drawDial() {
  const newest = points.at(-1);
  if (newest === undefined) return;
  const degrees = angle(newest.speed);
  document.querySelector('.swept').setAttribute('d', arc(degrees));
  document.querySelector('.needle').style.transform = `rotate(${degrees}deg)`;
  document.getElementById('speed').textContent = String(newest.speed);
  const time = document.getElementById('time');
  time.dateTime = new Date(newest.time).toISOString();
  time.textContent = new Date(newest.time).toLocaleTimeString();
}

function drawChart() {
  const chart = document.getElementById('chart');
  const { width, height } = chart.getBoundingClientRect();
  if (width === 0) return;
  const [left, right, top, bottom] = [28, width - 8, 8, height - 22];
  const now = Date.now();
  const x = (time) => right - ((now - time) / WINDOW_MS) * (right - left);
  const y = (speed) => bottom - (Math.min(Math.max(speed, 0), MOST) / MOST) * (bottom - top);
  const shown = points.filter(({ time }) => time > now - WINDOW_MS && time < now + 60_000);
  shown.sort((a, b) => a.time - b.time);
  const parts = [];
  for (let speed = 0; speed <= MOST; speed += 20) {
    parts.push(svg('line', { class: 'grid', x1: left, x2: right, y1: y(speed), y2: y(speed) }));
    parts.push(svg('text', { x: left - 6, y: y(speed) + 4, 'text-anchor': 'end' }, String(speed)));
  }
  for (let minutes = 0; minutes <= 5; minutes++) {
    const text = minutes === 0 ? 'now' : `${minutes} min`;
    const anchor = minutes === 0 ? 'end' : 'middle';
    parts.push(svg('text', { x: x(now - minutes * 60_000), y: height - 6, 'text-anchor': anchor }, text));
  }
  // Where nothing came for a while there is a hole, and not a line that nobody measured.
  const isBroken = (i) => i === 0 || shown[i].time - shown[i - 1].time > SILENCE_MS;
  const line = shown.map(({ time, speed }, i) => `${isBroken(i) ? 'M' : 'L'}${x(time).toFixed(1)} ${y(speed).toFixed(1)}`);
  parts.push(svg('path', { class: 'speed', d: line.join('') }));
  chart.setAttribute('viewBox', `0 0 ${width} ${height}`);
  chart.replaceChildren(...parts);
  document.getElementById('points').textContent = String(shown.length);
}

let isDrawing = false;

/** At most once for each frame, however many changes come. */
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    drawDial();
    drawChart();
  });
}

drawScale();
follow();
setInterval(draw, 1_000);
addEventListener('resize', draw);
