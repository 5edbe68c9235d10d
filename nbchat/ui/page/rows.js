// What one page knows of the chat: the rows in order, each once, and the facts around them. One store for
// each panel in each page; all its views show it.
//
// Rows of the kernel's transcript have numbers 1, 2, 3 …; messages from the history have seq - 2**52, which
// is below all of them. So one number orders everything.

const DEAD = 16000; // ms without a sign of the kernel (it gives one every 5 s) before it counts as gone
const KEPT = 4000; // rows in memory when everybody looks at the newest; older ones can be asked for again
const HISTORY = 2 ** 52;
const TYPING = 5000; // ms for which somebody who typed is "typing"

function makeStore(send) {
  const views = new Set();
  const store = {
    views,
    items: [],
    last: null, // the number of the newest row; null until the first answer
    facts: 0,
    state: null,
    members: [],
    pending: new Map(), // id -> {text, isKnown, at, box}: not in the chat yet; known when the kernel has it
    saidAt: -Infinity, // when this member said something last, by this page's clock
    colours: new Map(), // name -> colour
    typing: new Map(), // name -> when it is over
    isAtStart: false, // the first message is here
    beat: Date.now(),
    send,
    isAlive: () => Date.now() - store.beat < DEAD,
    tell: (what, ...details) => views.forEach((view) => view[what]?.(...details)),
    ask,
    askOlder,
    say,
    receive,
    joinAgain: () => send({ type: "join" }),
    colour: (name) => colourAmong(name, store.colours, store.members.map((each) => each.name)),
    face: (name) => face(name, store.colour(name)),
  };
  let askedAt = -Infinity;
  let olderAt = -Infinity;
  return store;

  function ask() {
    if (Date.now() - askedAt < 1000) return;
    askedAt = Date.now();
    send({ type: "sync", after: store.last });
  }

  function askOlder() {
    if (store.isAtStart || store.last === null || Date.now() - olderAt < 3000) return;
    if (!store.items.length && store.last > 0) return; // rows are on their way, and older ones can't be named yet
    olderAt = Date.now();
    const first = store.items.find((item) => item.kind === "said");
    send({ type: "older", before: store.items[0]?.key ?? store.last + 1, seq: first?.seq ?? null });
  }

  // `box` is where it was typed: what is refused goes back into that one.
  function say(text, box = null) {
    const mark = [...crypto.getRandomValues(new Uint8Array(8))]
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("");
    store.pending.set(mark, { text, isKnown: false, at: Date.now(), box });
    send({ type: "say", mark, text });
    store.tell("said");
    store.tell("showPending");
  }

  function receive(news) {
    store.beat = Date.now();
    takeFacts(news);
    if (news.refused) takeRefused(news.refused);
    if (news.rows) takeRows(news.rows);
    if (news.pending) takePending(news.pending);
    if (news.older) takeOlder(news.older);
    for (const name of news.typing ?? []) store.typing.set(name, Date.now() + TYPING);
    if (news.done && store.pending.delete(news.done)) store.tell("showPending"); // it was a command
    if (news.recalled !== undefined) store.tell("recall", news.recalled);
    if (store.last === null || news.newest > store.last) ask();
    store.tell("showState");
  }

  function takeFacts(news) {
    const parts = ["state", "members", "pending"].filter((part) => part in news);
    const isLost = parts.length < 3 && news.facts !== store.facts + (parts.length ? 1 : 0);
    store.facts = news.facts;
    if (isLost) ask();
    if (news.state) store.state = { ...news.state, at: Date.now() };
    if (news.members) {
      store.members = news.members.map(([name, role, plain, away]) => ({ name, role, plain, away }));
      for (const { name } of store.members) store.colour(name); // in the order in which they came, everywhere
    }
  }

  function takePending(pending) {
    const known = new Map(pending);
    for (const [mark, each] of store.pending) {
      if (known.has(mark)) each.isKnown = true;
      else if (each.isKnown && !each.why) store.pending.delete(mark);
    }
    for (const [mark, text] of known) {
      if (!store.pending.has(mark)) store.pending.set(mark, { text, isKnown: true, at: Date.now() });
    }
    store.tell("showPending");
  }

  // A host took messages away: some (first and last of each run of them), or all up to a number.
  function takeAway(gone, made) {
    const isIn = (seq) => gone.some((first, index) => index % 2 === 0 && seq >= first && seq <= gone[index + 1]);
    const isGone = (item) => item.kind === "said" && isIn(item.seq);
    if (gone[0] > 0) {
      for (const item of [...store.items, ...made].filter(isGone)) {
        Object.assign(item, { html: "", isMention: 0 });
        store.tell("redraw", item);
      }
      return;
    }
    for (const items of [store.items, made]) items.splice(0, items.findLastIndex(isGone) + 1);
    store.isAtStart = true;
    store.tell("restart");
  }

  // It goes back into the box where it was typed. Where that has something else in it, or is gone, it stays in
  // sight with the reason. (Where it was typed in another page, or before this one was loaded again, nobody
  // here can tell which.)
  function takeRefused({ mark, text, why }) {
    const each = store.pending.get(mark);
    if (!each) return;
    if (each.box?.refuse(text, why)) store.pending.delete(mark);
    else each.why = `not sent: ${why}`;
    store.tell("showPending");
  }

  function takeRows({ after, n, first, ms, rows, at }) {
    const times = new Map(at);
    if (store.last === null) {
      if (!first) return;
      store.last = n - 1;
    }
    if (after > store.last) return ask(); // some got lost on the way
    if (n > store.last + 1) {
      // What lies between is no longer in the kernel's transcript: the history has it.
      store.items = [];
      store.isAtStart = false;
      store.last = n - 1;
      store.tell("restart");
    }
    const fresh = rows.slice(Math.max(0, store.last + 1 - n));
    if (!fresh.length) return;
    const begin = n + rows.length - fresh.length;
    const made = [];
    let grown = null; // a line of joins and leaves that goes on
    fresh.forEach((row, index) => {
      const item = makeItem(row, begin + index, ms, times.get(rows.length - fresh.length + index));
      const before = made.at(-1) ?? store.items.at(-1);
      if (isOneLine(before, item)) {
        before.steps.push(...item.steps);
        if (!made.length) grown = before;
      } else made.push(item);
      if (item.gone) takeAway(item.gone, made);
      if (item.mark && store.pending.delete(item.mark)) store.tell("showPending");
      if (item.kind === "said") store.typing.delete(item.by);
      if (item.kind === "said" && item.by === store.state?.name) {
        store.saidAt = first ? Math.min(item.ms, Date.now()) : Date.now();
      }
    });
    store.last = begin + fresh.length - 1;
    store.items.push(...made);
    if (grown) store.tell("redraw", grown);
    store.tell("append", made);
    if (store.items.length > KEPT + 1000 && [...views].every((view) => view.isAtEnd())) {
      store.items.splice(0, store.items.length - KEPT);
      store.isAtStart = false;
    }
  }

  function takeOlder({ before, n, more, ms, rows, at, why }) {
    const times = new Map(at);
    if (before !== (store.items[0]?.key ?? store.last + 1)) return; // another page's, or come twice
    olderAt = why ? Date.now() : -Infinity;
    const made = [];
    rows.forEach((row, index) => {
      const item = makeItem(row, n === undefined ? row[4] - HISTORY : n + index, ms, times.get(index));
      const last = made.at(-1);
      if (isOneLine(last, item)) last.steps.push(...item.steps);
      else made.push(item);
    });
    store.items.unshift(...made);
    store.isAtStart = !more;
    store.tell("prepend", made);
  }
}

// A line of who came and went goes on with who comes next, on the same day.
function isOneLine(before, item) {
  const isOne = item.kind === "presence" && before?.kind === "presence";
  return isOne && (!item.ms || !before.ms || dayOf(item.ms) <= dayOf(before.ms));
}

function makeItem(row, key, base, time) {
  const [kind, who, html, since, seq, isMention, mark, says] = row; // says: what the server says of the author
  if (kind === "s") return { key, kind: "said", by: who, html, ms: base + since, seq, isMention, mark, says };
  const ms = time === undefined ? null : base + time; // of a line: null where nobody knows it
  if (kind === "j" || kind === "l") return { key, kind: "presence", steps: [[kind, who]], ms };
  if (kind === "m") return { key, kind: "line", text: who, ms, gone: row.length > 2 ? row.slice(2) : null };
  const text = kind === "r" ? "The chat was started anew; what was said before is not in it." : who;
  return { key, kind: "line", text, ms };
}

// "ada, bob joined · eve left": who did both counts by what came last. Names stand in places of their own: one
// from right to left does not turn what is beside it.
function presenceInWords(steps) {
  const last = new Map();
  for (const [kind, name] of steps) {
    last.delete(name);
    last.set(name, kind);
  }
  const names = (wanted) => [...last].filter(([, kind]) => kind === wanted).map(([name]) => name);
  const parts = [[names("j"), "joined"], [names("l"), "left"]].filter(([found]) => found.length);
  const words = parts.map(([found, did]) => {
    const shown = found.length > 6 ? found.slice(0, 5) : found;
    const others = found.length > 6 ? ` and ${found.length - 5} others` : "";
    return [...shown.flatMap((name, at) => [at ? ", " : "", element("bdi", {}, name)]), `${others} ${did}`];
  });
  return words.flatMap((each, at) => (at ? [" · ", ...each] : each));
}

function listInWords(names) {
  return names.length > 6 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} others` : names.join(", ");
}
