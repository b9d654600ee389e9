// The form of each model sends one row and shows the response. Text of model files and responses is
// written with textContent, never as markup.
"use strict";

function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function typed(input) {
  const text = input.value.trim();
  if (text === "") return null;
  if (input.dataset.kind === "boolean") {
    const known = { true: true, false: false, 1: true, 0: false };
    return text.toLowerCase() in known ? known[text.toLowerCase()] : text;
  }
  if (input.dataset.kind === "number" && Number.isFinite(Number(text))) return Number(text);
  return text;
}

// Inputs have no name, because one called "elements" would hide the form's own property.
function inputs(form) {
  return [...form.querySelectorAll("input")];
}

function inputOf(form, feature) {
  return inputs(form).find((field) => field.dataset.feature === feature);
}

function showPrediction(form, place, answer) {
  const prediction = answer.predictions[0];
  place.append(element("p", prediction.label, "label"));
  const shares = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  for (const [name, share] of shares) {
    const line = element("div", undefined, "share");
    const meter = element("meter");
    meter.value = share;
    meter.setAttribute("aria-label", `probability of ${name}`);
    line.append(element("span", name), meter, element("span", `${(100 * share).toFixed(1)} %`));
    place.append(line);
  }
  for (const warning of answer.warnings || []) {
    const kind = inputOf(form, warning.feature)?.dataset.kind;
    const seen = warning.seen.join(kind === "category" ? ", " : " to ");
    place.append(element("p", `Out of range: ${warning.feature} is ${warning.value}; in training: ${seen}.`));
  }
}

function showFailure(form, place, answer) {
  place.classList.add("failed");
  place.append(element("p", answer.error));
  for (const problem of answer.problems || []) {
    place.append(element("p", `${problem.feature}: expected ${problem.expected}, got ${problem.got}`));
    const input = inputOf(form, problem.feature);
    if (input) input.setAttribute("aria-invalid", "true");
  }
}

async function predict(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const place = form.querySelector(".answer");
  place.replaceChildren();
  place.classList.remove("failed");
  const row = Object.create(null); // a feature may be called __proto__
  for (const input of inputs(form)) {
    input.removeAttribute("aria-invalid");
    const value = typed(input);
    if (value !== null) row[input.dataset.feature] = value;
  }
  try {
    const response = await fetch(form.dataset.path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ instances: [row] }),
    });
    const answer = await response.json();
    if (response.ok) showPrediction(form, place, answer);
    else showFailure(form, place, answer);
  } catch (error) {
    showFailure(form, place, { error: `No response: ${error.message}` });
  }
}

for (const form of document.querySelectorAll("form")) form.addEventListener("submit", predict);
