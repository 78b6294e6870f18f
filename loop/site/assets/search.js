"use strict";
// Search over the index that loop/site/search_index.py describes. Words are split as kb/words.py splits them.
const root = document.body.dataset.root;
const folder = `${root}data/${document.body.dataset.index}/`;
const LEVELS = [1, 1.5, 2.5, 4]; // what a word is worth: changed name, path or prose, new name, title
const PREFIX = 0.6; // a word that only begins as the last one typed
const MOST_PREFIXED = 24;
const STEP = 20;

// scripts are loaded through this policy alone, and it lets none but the index's own files pass
const OURS = /^(?:\.\.\/)*data\/[0-9a-f]{8}\/(?:index|columns|[wt][0-9]{1,5})\.js$/;
const allow = address => {
  if (!OURS.test(address)) throw new TypeError(`no file of the index: ${address}`);
  return address;
};
const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("prlore-data", { createScriptURL: allow })
  : { createScriptURL: allow };

const waiting = new Map();
const arrived = new Map();
window.prlore = (name, data) => arrived.set(name, data);

function load(name) {
  if (!waiting.has(name)) {
    waiting.set(name, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = policy.createScriptURL(`${folder}${name}.js`);
      script.onload = () => resolve(arrived.get(name));
      script.onerror = () => { waiting.delete(name); reject(new Error(`${name}.js can't be read`)); };
      document.head.append(script);
    }));
  }
  return waiting.get(name);
}

const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

// words ----------------------------------------------------------------------------------------------

const COMPOUND = /[A-Za-z0-9_]+(?:[-.][A-Za-z0-9_]+)*/g;
const PART = /[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+[a-z]{0,2}(?![a-z])|[0-9]+/g;
const NO_PLURAL = new Set(["bias", "alias", "canvas", "atlas", "pandas", "kudos", "always", "across"]);

function singular(word) {
  const ends = word.length > 3 && word.endsWith("s") && !"sui".includes(word.at(-2)) && !NO_PLURAL.has(word);
  return ends ? word.slice(0, -1) : word;
}

function partsOf(compound) {
  return (compound.slice(0, 64).match(PART) || []).map(part => {
    const stem = part.slice(0, -1);
    const plural = part.endsWith("s") && /[A-Z]/.test(stem) && !/[a-z]/.test(stem);
    return plural ? stem.toLowerCase() : singular(part.toLowerCase());
  });
}

// [{parts, whole}] for each compound of a text; a whole is worth something where all parts could stand apart
function termsOf(text) {
  const keep = word => word.length > 1 || /^[0-9]+$/.test(word);
  return (text.match(COMPOUND) || []).map(compound => {
    const parts = partsOf(compound);
    return { parts: parts.filter(keep), whole: parts.length > 1 ? parts.join("") : "" };
  }).filter(term => term.parts.length || term.whole);
}
window.prloreWords = text => termsOf(text).flatMap(t => (t.whole ? [t.whole, ...t.parts] : t.parts));

// postings -------------------------------------------------------------------------------------------

function fileOf(firsts, word) {
  let low = 0;
  let high = firsts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (firsts[middle] <= word) low = middle + 1; else high = middle;
  }
  return Math.max(0, low - 1);
}

const opened = new Map();
async function wordFile(number) {
  if (!opened.has(number)) {
    opened.set(number, load(`w${number}`).then(([words, blob]) => {
      const bytes = bytesOf(blob);
      const found = new Map();
      let at = 0;
      const read = () => {
        let value = 0;
        for (let shift = 0; ; shift += 7) {
          const byte = bytes[at++];
          value += (byte & 127) * 2 ** shift;
          if (byte < 128) return value;
        }
      };
      for (const word of words.split(" ")) {
        const pairs = new Uint32Array(read());
        let card = 0;
        for (let i = 0; i < pairs.length; i++) {
          const posting = read();
          card += posting >>> 2;
          pairs[i] = (card << 2) | (posting & 3);
        }
        found.set(word, pairs);
      }
      return found;
    }));
  }
  return opened.get(number);
}

async function postings(index, word) {
  if (!index.firsts.length) return null;
  return (await wordFile(fileOf(index.firsts, word))).get(word) || null;
}

async function beginning(index, prefix) {
  if (!index.firsts.length) return [];
  const file = await wordFile(fileOf(index.firsts, prefix));
  const words = [...file.keys()].filter(word => word.startsWith(prefix) && word !== prefix && !word.includes(":"));
  words.sort((a, b) => file.get(b).length - file.get(a).length);
  return words.slice(0, MOST_PREFIXED).map(word => file.get(word));
}

// ranking --------------------------------------------------------------------------------------------

// BM25 without counts: a word is worth its rarity times its level, less in cards of many words; what a card has of the
// question, by rarity, multiplies the sum. Constants by measuring: tests/bench/site_browser.py
const LENGTHS = 0.3; // share of a card's length in what divides its words
const FEW = 3; // questions of so few words want cards with all of them first

async function search(index, asked) {
  const terms = termsOf(asked.text);
  const [flags, sizes] = (await load("columns")).map(bytesOf);
  const divisors = lengths(index, sizes);
  const scores = new Float32Array(index.cards);
  const rarities = new Float32Array(index.cards);
  const met = new Uint8Array(index.cards);
  const rarity = held => Math.log(1 + (index.cards - held + 0.5) / (held + 0.5));
  const add = (pairs, weight, once) => {
    const worth = rarity(pairs.length);
    for (const pair of pairs) {
      const card = pair >>> 2;
      scores[card] += (weight * worth * LEVELS[pair & 3]) / divisors[card];
      if (once && !once[card]) { once[card] = 1; met[card]++; rarities[card] += worth; }
    }
    return worth;
  };
  const parts = terms.flatMap(term => term.parts.map(word => ({ word, last: term === terms.at(-1) && word === term.parts.at(-1) })));
  const jobs = parts.map(async ({ word, last }) => ({
    exact: await postings(index, word),
    like: last && asked.typing && word.length > 1 ? await beginning(index, word) : [],
  }));
  const wholes = await Promise.all(terms.filter(t => t.whole).map(t => postings(index, t.whole)));
  let words = 0;
  let all = 0;
  for (const { exact, like } of await Promise.all(jobs)) {
    if (!exact && !like.length) continue;
    words++;
    const once = new Uint8Array(index.cards);
    const worths = like.map(pairs => add(pairs, exact ? PREFIX / 4 : PREFIX, exact ? null : once));
    all += exact ? add(exact, 1, once) : Math.max(...worths);
  }
  for (const pairs of wholes) if (pairs) add(pairs, 1, null);
  for (let card = 0; card < index.cards; card++) scores[card] *= Math.min(1, rarities[card] / all);
  const unknown = parts.length - words;
  return { ...(await choose(index, asked, flags, scores, met, words)), unknown, words };
}

let divided = null;
function lengths(index, sizes) {
  if (!divided) {
    divided = new Float32Array(index.cards);
    for (let card = 0; card < index.cards; card++) {
      divided[card] = 1 - LENGTHS + (LENGTHS * (2 ** (sizes[card] / 16) - 1)) / (index.length || 1);
    }
  }
  return divided;
}

async function choose(index, asked, flags, scores, met, words) {
  const repo = index.repos.findIndex(([name]) => name === asked.repo);
  const kind = index.kinds.indexOf(asked.kind);
  const [from, to] = span(index, asked.after, asked.before);
  let allowed = null;
  if (asked.family) {
    allowed = new Uint8Array(index.cards);
    for (const pair of (await postings(index, `family:${asked.family}`)) || []) allowed[pair >>> 2] = 1;
  }
  const found = [];
  let whole = 0;
  for (let card = from; card < to; card++) {
    if (words ? !met[card] : asked.text.trim()) continue;
    if (repo >= 0 && flags[card] >> 4 !== repo) continue;
    if (kind >= 0 && (flags[card] & 15) !== kind) continue;
    if (allowed && !allowed[card]) continue;
    if (met[card] === words) whole++;
    found.push(card);
  }
  const has = words <= FEW ? card => (met[card] === words ? 1 : 0) : () => 0;
  if (words) found.sort((a, b) => has(b) - has(a) || scores[b] - scores[a] || a - b);
  return { cards: found, whole };
}

// cards are numbered from the newest on: a stretch of months is a stretch of numbers
function span(index, after, before) {
  let from = 0;
  let to = index.cards;
  index.months.forEach(([month, first], at) => {
    const end = at + 1 < index.months.length ? index.months[at + 1][1] : index.cards;
    if (before && month > before) from = Math.max(from, end);
    if (after && month < after) to = Math.min(to, first);
  });
  return [from, Math.max(from, to)];
}

// the page -------------------------------------------------------------------------------------------

const form = document.getElementById("asked");
const list = document.getElementById("hits");
const said = document.getElementById("said");
const more = document.getElementById("more");
const make = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (name) made.className = name;
  return made;
};

function shownCard(index, row) {
  const [repo, number, title, day, kind, status, families] = row;
  const [name, engine] = index.repos[repo];
  const item = make("li");
  const link = make("a", title || "(no title)");
  link.href = `${root}cards/${name}/${number}.html`;
  const facts = make("p", "", "facts");
  facts.append(make("b", `${engine}#${number}`), make("span", day), make("span", index.kinds[kind]));
  if (index.statuses[status] !== "extracted") facts.append(make("span", index.statuses[status], "status"));
  for (const family of families.split(" ").filter(Boolean).slice(0, 4)) facts.append(make("span", family, "tag"));
  item.append(link, facts);
  return item;
}

let turn = 0;
let latest = null;

async function show(count) {
  const mine = turn;
  const { index, result } = latest;
  const from = list.children.length;
  const cards = result.cards.slice(from, from + count);
  const files = await Promise.all(cards.map(card => load(`t${Math.floor(card / index.titles)}`)));
  if (mine !== turn) return;
  list.append(...cards.map((card, i) => shownCard(index, files[i][card % index.titles])));
  more.hidden = list.children.length >= result.cards.length;
}

function readForm(typing) {
  const data = new FormData(form);
  const value = name => String(data.get(name) || "");
  return { text: value("q"), repo: value("repo"), kind: value("kind"), family: value("family"), after: value("after"), before: value("before"), typing };
}

async function run(typing) {
  const mine = ++turn;
  const started = performance.now();
  const asked = readForm(typing);
  remember(asked);
  if (!asked.text.trim() && !asked.family && !asked.kind && !asked.repo && !asked.after && !asked.before) {
    latest = null;
    list.replaceChildren();
    more.hidden = true;
    said.textContent = "";
    return;
  }
  try {
    const index = await load("index");
    const result = await search(index, asked);
    if (mine !== turn) return;
    latest = { index, result };
    list.replaceChildren();
    await show(STEP);
    if (mine !== turn) return;
    const took = performance.now() - started;
    said.textContent = describe(result, took);
    document.body.dataset.took = took.toFixed(1);
    document.body.dataset.answered = asked.text;
  } catch (error) {
    said.textContent = `The index can't be read: ${error.message}`;
  }
}

function describe(result, took) {
  const cards = number => `${number.toLocaleString("en")} ${number === 1 ? "card" : "cards"}`;
  const some = result.cards.length - result.whole;
  const found = result.words > 1 ? `${cards(result.whole)} with all words, ${some.toLocaleString("en")} with some` : cards(result.cards.length);
  const unknown = result.unknown ? `; ${result.unknown} of the words in no card, or in too many to tell` : "";
  return `${found}${unknown} (${took.toFixed(0)} ms)`;
}

function remember(asked) {
  const kept = Object.entries({ q: asked.text, repo: asked.repo, kind: asked.kind, family: asked.family, after: asked.after, before: asked.before });
  const query = new URLSearchParams(kept.filter(([, value]) => value)).toString();
  try {
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
  } catch {
    // a page opened from a folder may not change its address
  }
}

function moveAmongHits(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const inField = event.target.id === "q";
  const links = [...list.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  if (!step || (at < 0 && !inField) || !links.length) return;
  event.preventDefault();
  if (at + step < 0) document.getElementById("q").focus();
  else links[Math.min(links.length - 1, at + step)].focus();
}

async function start() {
  const wanted = new URLSearchParams(location.search);
  try {
    const index = await load("index");
    const fill = (id, options) => document.getElementById(id).append(...options.map(([value, text]) => {
      const option = make("option", text);
      option.value = value;
      return option;
    }));
    fill("repo", index.repos);
    fill("kind", index.kinds.map(kind => [kind, kind]));
    fill("family", index.families);
  } catch (error) {
    said.textContent = `The index can't be read: ${error.message}`;
    return;
  }
  for (const name of ["q", "repo", "kind", "family", "after", "before"]) {
    if (wanted.has(name)) document.getElementById(name).value = wanted.get(name);
  }
  let timer = 0;
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => run(true), 60); });
  form.addEventListener("submit", event => {
    event.preventDefault();
    clearTimeout(timer);
    run(false).then(() => list.querySelector("a")?.focus());
  });
  more.addEventListener("click", () => {
    const next = list.children.length;
    show(STEP).then(() => list.children[next]?.querySelector("a").focus());
  });
  document.addEventListener("keydown", moveAmongHits);
  await run(false);
  document.body.dataset.ready = "yes";
}
start();
