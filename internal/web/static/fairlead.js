// What the pages do beside htmx: say that the server is lost and go on when it is
// back, mark the fields of a refused form, copy, and close menus.
(function () {
  "use strict";

  // A lost server. htmx tells of a request that got no answer, and a log of a
  // connection that broke; /alive is asked until it answers.
  var lost = false;
  function say(text) {
    var at = document.getElementById("lost");
    at.textContent = text;
    at.hidden = text === "";
  }
  function lose() {
    if (lost) return;
    lost = true;
    say("The server does not answer. What you typed is still here; this page goes on by itself when the server is back.");
    document.body.classList.add("is-lost");
    again(500);
  }
  function again(wait) {
    setTimeout(function () {
      fetch("/alive", { cache: "no-store" }).then(function (answer) {
        if (!answer.ok) throw new Error("not yet");
        lost = false;
        document.body.classList.remove("is-lost");
        say("The server is back.");
        setTimeout(function () { if (!lost) say(""); }, 4000);
        document.dispatchEvent(new CustomEvent("fairlead:back"));
        document.body.dispatchEvent(new CustomEvent("fairlead-back"));
      }).catch(function () { again(Math.min(wait * 1.5, 5000)); });
    }, wait);
  }
  document.addEventListener("htmx:sendError", lose);
  document.addEventListener("htmx:timeout", lose);

  // An answer that is an error and belongs to no field is shown above the page.
  document.addEventListener("htmx:responseError", function (event) {
    var status = event.detail.xhr.status;
    if (status === 502 || status === 503 && !event.detail.xhr.responseText || status === 504) { lose(); return; }
    var at = document.getElementById("wrong");
    at.innerHTML = event.detail.xhr.responseText; // of this server, which escapes it
    at.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("htmx:beforeRequest", function (event) {
    if (event.target.tagName === "FORM") document.getElementById("wrong").textContent = "";
  });

  // After messages came, fields are marked, and the first wrong one is gone to.
  document.addEventListener("htmx:oobAfterSwap", function () { requestAnimationFrame(mark); });
  function mark() {
    var first = null;
    document.querySelectorAll("p.problem").forEach(function (message) {
      var input = document.getElementById(message.id.replace(/-problem$/, ""));
      if (!input) return;
      if (message.textContent) {
        input.setAttribute("aria-invalid", "true");
        first = first || input;
      } else {
        input.removeAttribute("aria-invalid");
      }
    });
    var asked = document.querySelector("[data-focus]");
    if (asked) {
      first = document.getElementById(asked.getAttribute("data-focus"));
      asked.removeAttribute("data-focus");
    }
    if (first) first.focus();
  }

  // Whoever goes by keyboard or by ear is led to a content that took another's place.
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target.id === "main") event.detail.target.focus({ preventScroll: true });
  });

  // Buttons that copy what an element holds.
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button) return;
    var holder = document.getElementById(button.getAttribute("data-copy"));
    var told = button.textContent;
    if (!navigator.clipboard) { // without https there is none: it is marked, for Ctrl-C
      getSelection().selectAllChildren(holder);
      return;
    }
    navigator.clipboard.writeText(holder.textContent).then(function () {
      button.textContent = "Copied";
      setTimeout(function () { button.textContent = told; }, 1500);
    });
  });

  // A menu closes when something else is clicked, and by Escape.
  document.addEventListener("click", function (event) {
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });

  // On a phone the navigation is folded.
  if (matchMedia("(max-width: 50rem)").matches) {
    document.querySelectorAll("details.fold").forEach(function (fold) { fold.open = false; });
  }

  // Others of this server's scripts use these.
  window.fairlead = { lose: lose };
})();
