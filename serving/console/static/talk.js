// The conversation of a case, live: what is said is added as it is said. The page reads
// and sends without it. Whatever a stranger wrote is set as text, never as markup.
"use strict";

{
  const talk = document.getElementById("talk");
  const list = document.getElementById("said");
  const there = document.getElementById("who-is-there");
  const AGAIN = 3_000;

  const known = new Set(
    [...list.querySelectorAll("[data-message]")].map((item) => item.dataset.message),
  );

  function element(name, words, kind) {
    const made = document.createElement(name);
    if (words !== undefined) made.textContent = words;
    if (kind) made.className = kind;
    return made;
  }

  function speaker(said) {
    const { byUser, byAgent, byPerson } = talk.dataset;
    if (said.from === "person") return `${byPerson}${said.by}`;
    return said.from === "user" ? byUser : byAgent;
  }

  function add(said) {
    if (known.has(said.message_id)) return;
    known.add(said.message_id);
    const time = element("time", new Date(said.at).toLocaleTimeString());
    time.dateTime = said.at;
    const header = element("header");
    header.append(element("strong", speaker(said)), " ", time);
    const words = element("div", said.text, "said");
    words.dir = "auto";
    const frame = element("article", undefined, `frame ${said.from}`);
    frame.append(header, words);
    const item = element("li");
    item.dataset.message = said.message_id;
    item.append(frame);
    list.append(item);
    document.getElementById("nothing-said")?.remove();
    item.scrollIntoView({ block: "nearest" });
  }

  const people = { present: [], typing: [] };

  function show() {
    const others = (all) => all.map((one) => one.who).filter((who) => who !== talk.dataset.me);
    const typing = others(people.typing);
    const present = others(people.present);
    if (typing.length) there.textContent = `${talk.dataset.typing}: ${typing.join(", ")}`;
    else if (present.length) there.textContent = `${talk.dataset.present}: ${present.join(", ")}`;
    else there.textContent = "";
  }

  function follow(address) {
    const source = new EventSource(address);
    const on = (word, does) => source.addEventListener(word, (event) => {
      if (event.data) does(JSON.parse(event.data));
    });
    on("message", add);
    on("presence", ({ present }) => { people.present = present; show(); });
    on("typing", ({ typing }) => { people.typing = typing; show(); });
    on("over", () => source.close());
    window.addEventListener("pagehide", () => source.close());
  }

  let last = 0;

  function types() {
    if (Date.now() - last < AGAIN) return;
    last = Date.now();
    const body = JSON.stringify({ who: talk.dataset.me, role: "person", doing: "typing" });
    const headers = { "content-type": "application/json" };
    // Presence is a courtesy: where it cannot be told, nothing is lost.
    fetch(talk.dataset.presence, { method: "POST", headers, body }).catch(() => {});
  }

  if (talk.dataset.stream) {
    follow(talk.dataset.stream);
    talk.querySelector("textarea")?.addEventListener("input", types);
  }
}
