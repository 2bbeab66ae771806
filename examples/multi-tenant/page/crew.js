// Tasks and messages of a project, live, and who is there. What each person may see is decided by rowcast.toml: this page asks for
// everything of a project, and shows what it gets.

import { connect } from './client/index.js';

const db = connect('/');
const $ = (id) => document.getElementById(id);

/** Who is looking: `{ user, tenant }`. */
let me;
/** The project that is shown, and what ends that. */
let shown;

async function start() {
  const answer = await fetch('/v1/whoami', { cache: 'no-store' });
  if (!answer.ok) {
    showDoor();
    return;
  }
  me = await answer.json();
  $('me').textContent = `${me.user} of ${me.tenant}`;
  $('leave').hidden = false;
  $('work').hidden = false;
  followConnection();
  followRole();
  followProjects();
}

function followConnection() {
  const look = () => {
    const { state, error } = db.connection;
    $('state').textContent = state === 'open' ? 'live' : state;
    // The log-in has ended, or an operator has put this user out.
    if (state === 'unauthenticated') {
      showDoor();
      notify(error?.code === 'revoked' ? `You were logged out. ${error.message}` : 'Your session has ended. Log in again.');
    }
  };
  db.connection.subscribe(look);
  look();
}

/** Guests may read only. The server refuses their writes whatever a page shows. */
function followRole() {
  const users = db.table('users', { where: `id = ${quoted(me.user)}` });
  const look = () => {
    const isGuest = users.rows[0]?.role === 'guest';
    for (const form of document.querySelectorAll('form.line')) form.hidden = isGuest;
  };
  users.subscribe(look);
}

function followProjects() {
  const projects = db.table('projects', { orderBy: 'name' });
  projects.subscribe(() => {
    if (projects.status !== 'live') return;
    const ids = projects.rows.map(({ id }) => id);
    if (shown !== undefined && !ids.includes(shown.id)) {
      notify(`You were removed from ${shown.name}.`);
      hide();
    }
    $('none').hidden = ids.length > 0;
    $('projects').replaceChildren(...projects.rows.map(projectButton));
    if (shown === undefined && ids.length > 0) show(projects.rows[0]);
  });
}

function projectButton(project) {
  const button = element('button', { type: 'button', onclick: () => show(project) }, project.name);
  button.setAttribute('aria-pressed', String(project.id === shown?.id));
  return button;
}

function show({ id, name }) {
  hide();
  const where = `project_id = ${quoted(id)}`;
  const tasks = db.table('tasks', { where, orderBy: 'done, id' });
  const messages = db.table('messages', { where, orderBy: 'id desc', limit: 50 });
  const there = db.presence(`room:${id}`);
  const stops = [
    follow(tasks, () => $('tasks').replaceChildren(...tasks.rows.map(taskLine))),
    follow(messages, () => $('messages').replaceChildren(...messages.rows.map(messageLine).reverse())),
    follow(there, () => $('there').replaceChildren(...there.users.map(personLine))),
    () => there.untrack(),
  ];
  there.track({ typing: false });
  shown = { id, name, there, stops };
  $('project').hidden = false;
  for (const button of $('projects').children) button.setAttribute('aria-pressed', String(button.textContent === name));
}

/** Draws what is there already (the client keeps what nobody follows for a moment), and each change. */
function follow(store, draw) {
  draw();
  return store.subscribe(draw);
}

/** What was shown of a project is gone, too. */
function hide() {
  for (const stop of shown?.stops ?? []) stop();
  shown = undefined;
  $('project').hidden = true;
  for (const list of ['tasks', 'messages', 'there']) $(list).replaceChildren();
}

const WHO_SEES = { private: 'only you', project: '', guests: 'guests, too' };

function taskLine({ title, owner, visibility, done }) {
  const notes = [owner, WHO_SEES[visibility]].filter(Boolean).join(', ');
  return element('li', { className: done ? 'done' : '' }, title, element('small', {}, notes));
}

function messageLine({ author, body, sent_at }) {
  const time = new Date(sent_at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return element('li', {}, element('b', {}, author), ` ${body}`, element('small', {}, time));
}

function personLine({ user, state, connections }) {
  const notes = [state.typing && 'is typing…', connections > 1 && `${connections} windows`].filter(Boolean).join(', ');
  return element('li', {}, user === me.user ? `${user} (you)` : user, element('small', {}, notes));
}

$('new-task').onsubmit = (event) =>
  send(event, ({ title, visibility }) => ({ table: 'tasks', row: { owner: me.user, title, visibility } }));

$('new-message').onsubmit = (event) => {
  shown.there.track({ typing: false });
  send(event, ({ body }) => ({ table: 'messages', row: { author: me.user, body } }));
};

$('new-message').oninput = ({ target }) => shown.there.track({ typing: target.value !== '' });

/** Stores a row of the project that is shown. It appears in the list when the database has told it, as everybody's does. */
async function send(event, rowOf) {
  event.preventDefault();
  const form = event.target;
  const { table, row } = rowOf(Object.fromEntries(new FormData(form)));
  try {
    const { rejected } = await db.insert(table, { ...row, project_id: shown.id, tenant_id: me.tenant });
    if (rejected.length > 0) throw new Error(rejected[0].reason);
    form.reset();
    notify('');
  } catch (error) {
    notify(`Not stored: ${error.message}`);
  }
}

const PEOPLE = { 'Acme Rockets': ['ada', 'bob', 'cyn'], 'Globex Energy': ['dan', 'eve', 'fay'] };
const ROLES = ['admin', 'member', 'guest'];

function showDoor() {
  hide();
  $('work').hidden = true;
  $('leave').hidden = true;
  $('me').textContent = '';
  $('door').hidden = false;
  const companies = Object.entries(PEOPLE).map(([company, people]) => {
    const buttons = people.map((name, i) => {
      return element('button', { name: 'user', value: name }, name, element('small', {}, ROLES[i]));
    });
    return element('fieldset', {}, element('legend', {}, company), ...buttons);
  });
  $('people').replaceChildren(...companies);
}

$('log-in').onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ user: event.submitter?.value, password: event.target.password.value });
  const answer = await fetch('/v1/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (answer.ok) {
    // Everything anew: nothing that somebody else saw is left.
    location.reload();
    return;
  }
  const { error } = await answer.json().catch(() => ({}));
  notify(error?.message ?? `The server answered ${answer.status}.`);
};

$('leave').onclick = async () => {
  await fetch('/v1/session', { method: 'DELETE' });
  location.reload();
};

function notify(text) {
  $('notice').textContent = text;
  $('notice').hidden = text === '';
}

/** A text in SQL's quotes. */
function quoted(text) {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Texts are put in as texts: what people write is no HTML. */
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

start();
