// Forms that a check answers: each step is shown as it is done, and at the end the page
// goes on or says what is wrong. Without this file the form is posted as any other, and
// the answer comes when all is done.
(function () {
  "use strict";
  var steps = document.getElementById("steps");
  var watching = document.getElementById("watching");
  if (!steps || !window.fetch || !window.TextDecoder) return;

  function place(html) { // elements with ids take the place of those that are there
    var made = document.createElement("template");
    made.innerHTML = html; // of this server, which escapes it
    Array.from(made.content.children).forEach(function (part) {
      var old = part.id && document.getElementById(part.id);
      part.removeAttribute("hx-swap-oob");
      if (old) old.replaceWith(part);
    });
    document.dispatchEvent(new CustomEvent("htmx:oobAfterSwap"));
  }
  function go(to, said) {
    if (said) document.cookie = "fairlead_said=" + encodeURIComponent(said).replace(/%20/g, "+") + "; path=/; max-age=60; samesite=lax";
    window.location.assign(to);
  }
  function wrong(html) {
    var at = document.getElementById("wrong");
    at.innerHTML = html; // of this server, which escapes it
    at.scrollIntoView({ block: "nearest" });
  }

  // read takes the events of a stream apart and reports whether the last one came.
  function read(answer) {
    var reader = answer.body.getReader(), decoder = new TextDecoder(), text = "", ended = false;
    function take(block) {
      var name = "", data = [];
      block.split("\n").forEach(function (line) {
        if (line.indexOf("event: ") === 0) name = line.slice(7);
        if (line.indexOf("data: ") === 0) data.push(line.slice(6));
      });
      data = data.join("\n");
      if (name === "step") {
        var made = document.createElement("template");
        made.innerHTML = data; // of this server, which escapes it
        steps.appendChild(made.content);
        return;
      }
      ended = true;
      if (name === "go") { var next = JSON.parse(data); go(next.to, next.said); }
      if (name === "parts") place(data);
      if (name === "wrong") wrong(data);
    }
    function more() {
      return reader.read().then(function (chunk) {
        if (chunk.done) return ended;
        text += decoder.decode(chunk.value, { stream: true });
        var end;
        while ((end = text.indexOf("\n\n")) >= 0) {
          take(text.slice(0, end));
          text = text.slice(end + 2);
        }
        return more();
      });
    }
    return more();
  }

  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (!form.hasAttribute("data-check")) return;
    event.preventDefault();
    var buttons = form.querySelectorAll("button");
    buttons.forEach(function (button) { button.disabled = true; });
    steps.textContent = "";
    document.getElementById("wrong").textContent = "";
    watching.textContent = "Asking the registry…";
    fetch(form.action, {
      method: "POST", body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "text/event-stream, text/html", "HX-Request": "true" }
    }).then(function (answer) {
      var type = answer.headers.get("Content-Type") || "", to = answer.headers.get("HX-Redirect");
      if (to) { go(to); return true; }
      if (type.indexOf("text/event-stream") === 0) return read(answer);
      return answer.text().then(function (html) {
        if (answer.status === 422) place(html); else wrong(html);
        return true;
      });
    }).then(function (ended) {
      if (!ended) throw new Error("broken off");
    }).catch(function () {
      wrong("<div class=\"box bad\"><p><strong>The check was broken off. What you typed is still here.</strong></p></div>");
      window.fairlead.lose();
    }).then(function () {
      watching.textContent = "";
      buttons.forEach(function (button) { button.disabled = false; });
    });
  });

  // What is wrong with the patterns is said while they are typed.
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.target.id !== "patterns-live") return;
    var input = document.getElementById("image_patterns"), problem = document.getElementById("image_patterns-problem");
    if (problem && problem.textContent) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
  });
})();
