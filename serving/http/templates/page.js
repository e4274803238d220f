"use strict";
(() => {
  const EVERY_MS = 2000;
  const PATIENCE_MS = 10000;
  const named = (name) => document.getElementById(name);
  let seen = named("main").dataset.at;
  let lost = false;

  // Numbers and times are formatted as in serving/http/page.py.
  const grouped = (value, digits) =>
    value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const rate = (value) => (value === 0 ? "0" : grouped(value, value < 10 ? 2 : value < 100 ? 1 : 0)) + "/s";
  const milliseconds = (value) => {
    if (value >= 10000) return "≥ 10 s";
    return value < 1000 ? grouped(value, value < 100 ? 1 : 0) + " ms" : grouped(value / 1000, 2) + " s";
  };
  const share = (value) => {
    if (value > 0 && value < 0.0005) return "< 0.1%";
    return grouped(100 * value, value > 0 && value < 0.1 ? 1 : 0) + "%";
  };
  const age = (seconds) => {
    const steps = [[120, 1, "s"], [7200, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "days"]];
    const [, unit, name] = steps.find(([below]) => seconds < below);
    return `${grouped(Math.floor(Math.max(0, seconds) / unit), 0)} ${name} ago`;
  };

  const refused = (found) => {
    if (found === null) return "–";
    return Object.entries(found.codes).map(([code, count]) => `${grouped(count, 0)} × ${code}`).join(", ") || "none";
  };

  const FIELDS = {
    requests_per_second: rate,
    p50_ms: milliseconds,
    p99_ms: milliseconds,
    server_error_share: share,
    client_error_share: share,
  };

  const show = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  function showModel(card, live) {
    for (const [field, written] of Object.entries(FIELDS)) {
      const value = live === null ? null : live[field];
      const element = card.querySelector(`[data-live=${field}]`);
      show(element, value === null ? "–" : written(value));
      element.classList.toggle("alert", field === "server_error_share" && value > 0);
    }
  }

  function isLive(at) {
    seen = at;
    named("clock").classList.remove("off");
    show(named("clock"), `live, ${seen}`);
  }

  function showAll(status) {
    document.querySelectorAll("article[data-model]").forEach((card, place) => showModel(card, status.models[place].live));
    show(named("refused"), refused(status.unanswered));
    for (const element of document.querySelectorAll("[data-since]")) {
      show(element, age((Date.parse(status.at) - Date.parse(element.dataset.since)) / 1000));
    }
    isLive(`${status.at.slice(11, 19)} UTC`);
  }

  async function fetched(address) {
    const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer;
  }

  // The served models, their drift or the log changed: fetch that part of the page again.
  async function renew() {
    const page = new DOMParser().parseFromString(await (await fetched("./")).text(), "text/html");
    named("main").replaceWith(document.importNode(page.getElementById("main"), true));
    document.title = page.title;
    isLive(named("main").dataset.at);
    show(named("news"), `The page has changed: ${named("overall").textContent}.`);
  }

  async function refresh() {
    const status = await (await fetched("v1/status")).json();
    if (status.revision === named("main").dataset.revision) showAll(status);
    else await renew();
    if (lost) show(named("news"), "The service answers again.");
    lost = false;
  }

  function missed() {
    if (lost) return;
    lost = true;
    named("clock").classList.add("off");
    show(named("clock"), `▲ no answer; the numbers are from ${seen}`);
    show(named("news"), "The service does not answer. The numbers are old.");
  }

  async function turn() {
    try {
      if (!document.hidden) await refresh();
    } catch {
      missed();
    }
    setTimeout(turn, EVERY_MS);
  }

  isLive(seen);
  setTimeout(turn, EVERY_MS);
})();
