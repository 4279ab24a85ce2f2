// Follows the log of an execution.
(function () {
  "use strict";
  var log = document.getElementById("log");
  if (!log || !window.EventSource) return;
  var layers = document.getElementById("layers"), follow = document.getElementById("follow");
  var linesMost = 20000; // more would make the browser slow; the whole log is a link away
  var into = log, fold = null, prepared = null, source = null, over = false, last = "";

  function open() {
    source = new EventSource(log.getAttribute("data-from") + (last ? "?after=" + last : ""));
    source.addEventListener("lines", function (event) {
      last = event.lastEventId;
      var part = document.createElement("template");
      part.innerHTML = event.data; // of this server, which escapes what the command wrote
      var near = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      Array.from(part.content.children).forEach(place);
      while (log.childElementCount > linesMost) log.firstElementChild.remove();
      if (follow.checked && near) log.scrollTop = log.scrollHeight;
    });
    source.addEventListener("state", function (event) {
      var state = document.getElementById("state");
      state.innerHTML = event.data;
      if (window.htmx) window.htmx.process(state);
    });
    source.addEventListener("earlier", function (event) {
      document.getElementById("earlier").textContent = "The first " + event.data + " lines are not shown here.";
    });
    source.addEventListener("end", function () {
      over = true;
      source.close();
      closeLayers();
      document.body.dispatchEvent(new CustomEvent("execution-ended"));
    });
    source.addEventListener("problem", function (event) {
      source.close();
      document.getElementById("wrong").textContent = event.data;
    });
    source.onerror = function () {
      if (over) return;
      source.close();
      if (window.fairlead) window.fairlead.lose();
    };
  }
  document.addEventListener("fairlead:back", function () {
    if (!over && source.readyState === EventSource.CLOSED) open();
  });

  // place puts a line where it belongs: how far a layer is becomes its bar, what came
  // before the command is a fold of its own, and ::group:: begins another.
  function place(line) {
    var data = line.dataset;
    if (data.layer !== undefined) { bar(data); return; }
    var status = line.classList.contains("status");
    if (status && !prepared && !log.childElementCount) {
      prepared = details("Getting ready", log);
    }
    if (status && prepared && prepared.open !== null && !prepared.dataset.done) {
      prepared.append(line);
      return;
    }
    if (!status && prepared && !prepared.dataset.done) {
      prepared.dataset.done = "yes";
      prepared.open = false;
      closeLayers();
    }
    if (data.fold !== undefined) {
      fold = details(data.fold || "Group", log);
      into = fold;
      return;
    }
    if (data.unfold !== undefined) {
      if (fold) fold.open = false;
      fold = null;
      into = log;
      return;
    }
    into.append(line);
  }
  function details(title, at) {
    var made = document.createElement("details"), summary = document.createElement("summary");
    summary.textContent = title;
    made.open = true;
    made.append(summary);
    at.append(made);
    return made;
  }

  function bar(data) {
    layers.hidden = false;
    var id = "layer-" + data.layer, row = document.getElementById(id);
    if (!row) {
      row = document.createElement("li");
      row.id = id;
      row.innerHTML = "<code></code> <progress max='1' value='0'></progress> <span></span>";
      row.querySelector("code").textContent = data.layer;
      row.querySelector("progress").setAttribute("aria-label", "Layer " + data.layer);
      layers.append(row);
    }
    var total = Math.max(Number(data.total), 1), ended = data.phase === "done";
    row.querySelector("progress").value = ended ? 1 : Math.min(Number(data.done) / total, 1);
    row.querySelector("span").textContent = data.phase + " " + size(ended ? total : Number(data.done)) + " of " + size(total);
  }
  function closeLayers() { layers.hidden = true; }
  function size(bytes) {
    var units = ["B", "kB", "MB", "GB", "TB"], i = 0;
    while (bytes >= 999.95 && i < units.length - 1) { bytes /= 1000; i++; }
    return (i ? bytes.toFixed(1) : bytes) + " " + units[i];
  }
  open();
})();
