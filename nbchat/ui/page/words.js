// What the page says of times, people and the state of things. No document in here: plain node tests it.

const WORDS = { you: "you", host: "host", plain: "unverified", away: "away" };

// ── days and times, by the calendar and the clock of the page's zone ──

const twoDigits = (number) => String(number).padStart(2, "0");

// The calendar day as a number that rises: 20261128.
function dayOf(ms) {
  const date = new Date(ms);
  return date.getFullYear() * 10000 + (date.getMonth() + 1) * 100 + date.getDate();
}

function dayInWords(ms, now = Date.now()) {
  const today = new Date(now);
  // The day before by the calendar: a day has 23 or 25 hours where clocks change.
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (dayOf(ms) === dayOf(now)) return "Today";
  if (dayOf(ms) === dayOf(yesterday)) return "Yesterday";
  const isThisYear = new Date(ms).getFullYear() === today.getFullYear();
  return new Date(ms).toLocaleDateString([], {
    weekday: "long", day: "numeric", month: "long", ...(isThisYear ? {} : { year: "numeric" }),
  });
}

// One clock everywhere, in the terminal and in a saved copy as well: 09:05, 21:30.
function timeInWords(ms) {
  const date = new Date(ms);
  return `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}`;
}

function momentInWords(ms) {
  const date = new Date(ms);
  return `${date.toLocaleDateString([], { dateStyle: "full" })}, ${timeInWords(ms)}:${twoDigits(date.getSeconds())}`;
}

// ── people ──

const OTHER_LETTERS = { ł: "l", ø: "o", đ: "d", ð: "d", ħ: "h", ı: "i", ß: "ss", æ: "ae", œ: "oe", þ: "th" };

// A name as it is typed by somebody without its accents: José is found by jose.
function plainly(text) {
  const bare = text.normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "");
  return bare.replace(/[łøđðħıßæœþ]/gu, (letter) => OTHER_LETTERS[letter]);
}

// Where a name, or one of its words, begins with what was typed: 0 at its beginning, 1 inside, -1 nowhere.
function foundIn(name, typed) {
  const wanted = plainly(typed);
  const whole = plainly(name);
  if (whole.startsWith(wanted)) return 0;
  return [...whole.matchAll(/[\s_.'-]+/gu)].some((gap) => whole.startsWith(wanted, gap.index + gap[0].length)) ? 1 : -1;
}

// Hosts first, then by name.
function inOrder(members) {
  const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;
  const rank = ({ role }) => (role === "host" ? 0 : 1);
  return [...members].sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name));
}

const COLOURS = 12; // in panel.css: nbchat-colour-0 …

function colour(name) {
  let sum = 2166136261; // FNV-1a: the same name has the same colour everywhere, where nobody else has it
  for (const char of name.toLowerCase()) sum = Math.imul(sum ^ char.codePointAt(0), 16777619);
  return (sum >>> 0) % COLOURS;
}

// A name's colour: its own or, if somebody who is there has that, the one that the fewest have. Kept in
// `known` (name -> colour), so that nobody changes it while one looks.
function colourAmong(name, known, present) {
  if (known.has(name)) return known.get(name);
  const counts = Array(COLOURS).fill(0);
  for (const each of present) if (each !== name && known.has(each)) counts[known.get(each)] += 1;
  const own = colour(name);
  const least = Math.min(...counts);
  let found = own;
  while (counts[found] > least) found = (found + 5) % COLOURS; // 5 and 12 have no divisor in common
  known.set(name, found);
  return found;
}

// ── what is typed ──

// A line that would be a command, or may become one: nobody has to know that it is typed.
const isCommand = (text) => /^\/(?:\p{L}|$)/u.test(text);

// Scripts that put no space between words: a name after them is called as one after a space is.
const SPACELESS = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}" +
  "\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}";
const CALLED = new RegExp(`(?<![^\\P{L}${SPACELESS}]|[\\p{N}_@%+-])@(|[^@\\s][^@\\n]{0,31})$`, "u");

// What was typed behind an @ that may call somebody, up to the caret; null where it calls nobody: in code, in
// a link, in an address.
function calledIn(before) {
  const found = before.match(CALLED);
  if (!found || isInCode(before.slice(0, found.index))) return null;
  const word = before.slice(0, found.index).match(/\S*$/u)[0];
  return /:\/\/|^www\./iu.test(word) ? null : found[1];
}

// Whether code has begun and not ended: a fence of three, or a backtick in this paragraph.
function isInCode(before) {
  const fences = before.match(/^ {0,3}(?:`{3,}|~{3,})/gmu) ?? [];
  if (fences.length % 2) return true;
  const paragraph = before.slice(Math.max(before.lastIndexOf("\n\n"), before.lastIndexOf("```")) + 1);
  let open = "";
  for (const [run] of paragraph.replace(/^`{2,}/u, "").matchAll(/`+/gu)) {
    if (!open) open = run;
    else if (open === run) open = "";
  }
  return open !== "";
}

// ── the state of things ──

// "cs101 · lobby", or the room alone where the chat has no name.
const titleOf = (state) => (state.chat ? `${state.chat} · ${state.room}` : state.room);

function statusInWords(state, isAlive) {
  if (!isAlive && !state) return "This is a saved copy. Run the cell to join the chat.";
  if (!isAlive) return "The kernel was restarted or has ended. Run the cell to join again.";
  if (!state || state.status === "connecting") return "Connecting…";
  return state.note[0] || `Connected as ${state.name}`;
}

const canJoinAgain = (state, isAlive) => isAlive && state?.status === "closed" && state.note[1];

// What the box says while it is empty, whether something can be sent at all (`isShut`), and the seconds until
// the next message may be (`wait`). `since` is how long ago (ms) the state came, `saidAgo` this member's last
// message.
function boxInWords(state, isAlive, since, saidAgo) {
  const open = { words: "Write a message…", isShut: false, wait: 0 };
  if (!isAlive) return { ...open, words: "Run the cell to join again", isShut: true };
  if (!state) return open;
  if (state.status === "closed") return { ...open, words: "You are not in the chat", isShut: true };
  const { muted, as, left, until, announce, slow } = state.rules;
  if (muted && (left === null || left * 1000 > since)) {
    // Who is taken for somebody else (`as`) has to know that it is a guess.
    const end = left === null ? "" : ` until ${timeInWords(until + 59000)}`;
    const words = as
      ? `You are taken for ${as}, muted${end}. If that is not you, ask the host`
      : `A host has muted you${end}`;
    return { ...open, words, isShut: true };
  }
  if (announce) return { ...open, words: "Only hosts may write now", isShut: true };
  if (state.status !== "connected") return { ...open, words: "Sent when the chat is back" };
  if (!slow) return open;
  const wait = Math.max(0, Math.ceil(slow - saidAgo / 1000));
  const pause = slow < 60 ? `${slow} s` : `${Math.ceil(slow / 60)} min`;
  const words = wait ? `Slow room: wait for ${wait} s` : `Write a message… (one every ${pause})`;
  return { words, isShut: false, wait };
}
