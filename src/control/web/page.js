// Keeps a page of the server fresh: when the journal moves, or every few seconds, the page is fetched again and what changed in it is
// put in its place. What is shown is never older than it says: its age stands beside it, and a page that cannot be renewed says so.
"use strict";
(() => {
  const OLD_SECONDS = 10; // then the age is a warning
  const GAP_MS = 2000; // between two fetches
  const QUIET_MS = 6000; // without news it is fetched again after this
  const byId = (id) => document.getElementById(id);
  const age = byId("age"), lost = byId("lost");
  // The page was made after it was asked for, so this is never too young.
  let madeAt = performance.timeOrigin, madeText = byId("at").textContent;
  let feed = null, busy = false, planned = null, trouble = null, last = 0;

  function morph(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || (from.id || "") !== (to.id || "")) {
      from.replaceWith(document.importNode(to, true));
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.data !== to.data) from.data = to.data;
      return;
    }
    for (const { name } of [...from.attributes]) {
      if (name !== "open" && !to.hasAttribute(name)) from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
    [...to.childNodes].forEach((fresh, at) => {
      let old = from.childNodes[at];
      const key = keyOf(fresh);
      if (key !== null && (!old || keyOf(old) !== key)) {
        const known = [...from.childNodes].slice(at).find((node) => keyOf(node) === key);
        if (known) {
          from.insertBefore(known, old || null);
          old = known;
        } else {
          from.insertBefore(document.importNode(fresh, true), old || null);
          return;
        }
      }
      if (old) morph(old, fresh);
      else from.appendChild(document.importNode(fresh, true));
    });
    while (from.childNodes.length > to.childNodes.length) from.lastChild.remove();
  }

  function showAge() {
    const seconds = Math.max(0, Math.round((Date.now() - madeAt) / 1000));
    const old = seconds > OLD_SECONDS;
    age.textContent = old ? ", OLD: " + seconds + " s ago" : ", " + seconds + " s ago";
    document.body.classList.toggle("old", old);
    if (old && !byId("words").dataset.said) {
      const words = byId("words");
      words.dataset.said = words.textContent;
      words.textContent = "Not known now. At " + madeText + " UTC: " + words.textContent;
      byId("health").className = "odd";
    }
    if (trouble !== null && old) {
      lost.hidden = false;
      const said = "Not connected since " + madeText + " UTC (" + trouble + "). What stands below is of then. It is tried again by itself.";
      if (lost.textContent !== said) lost.textContent = said;
    }
  }

  async function renew() {
    if (busy) return;
    busy = true;
    planned = null;
    const asked = Date.now();
    last = asked;
    try {
      const address = new URL(location.pathname + location.search, location.origin);
      const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (!answer.ok) throw new Error("the daemon answers " + answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!fresh.getElementById("words")) throw new Error("something else answers");
      for (const id of ["words", "health", "at"]) delete byId(id).dataset.said;
      for (const id of ["health", "at", "foot"]) morph(byId(id), fresh.getElementById(id));
      // Who is filling in a form is not disturbed.
      const active = document.activeElement;
      const fills = active && active.closest("main form");
      if (!fills) morph(byId("main"), fresh.getElementById("main"));
      document.title = fresh.title;
      madeText = byId("at").textContent;
      madeAt = asked;
      trouble = null;
      lost.hidden = true;
      lost.textContent = "";
    } catch (error) {
      trouble = error.name === "TimeoutError" ? "no answer within 8 s" : error instanceof TypeError ? "nobody answers" : error.message;
    } finally {
      busy = false;
      showAge();
    }
  }

  function soon() {
    if (planned === null && !document.hidden) planned = setTimeout(renew, Math.max(0, last + GAP_MS - Date.now()));
  }

  function listen() {
    if (feed || document.hidden) return;
    feed = new EventSource("/v1/events");
    for (const name of ["line", "lagged", "beat"]) feed.addEventListener(name, soon);
    feed.onerror = () => {
      // It comes back by itself unless it was refused; then it is begun anew, later.
      if (feed && feed.readyState === EventSource.CLOSED) {
        feed = null;
        setTimeout(listen, 5000);
      }
      soon();
    };
  }

  // A page that nobody looks at holds no connection: a browser has six for each site.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && feed) {
      feed.close();
      feed = null;
    } else {
      listen();
      soon();
    }
  });
  setInterval(() => {
    showAge();
    if (Date.now() - last > QUIET_MS) soon();
  }, 1000);
  last = Date.now();
  showAge();
  listen();
})();
