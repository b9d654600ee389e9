// The form of each model sends one row and shows the response. Text of model files and responses is
// written with textContent, never as markup.
"use strict";

function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

// Return the value of an input in the JSON type of its feature; null if the input is empty.
// Text that is not of this type is sent unchanged, so that the service names the problem.
function parseValue(input) {
  const text = input.value.trim();
  if (text === "") return null;
  if (input.dataset.kind === "boolean") {
    const booleans = { true: true, false: false, 1: true, 0: false };
    return text.toLowerCase() in booleans ? booleans[text.toLowerCase()] : text;
  }
  if (input.dataset.kind === "number" && Number.isFinite(Number(text))) return Number(text);
  return text;
}

// Inputs have no name, because one called "elements" would hide the form's own property.
function inputsOf(form) {
  return [...form.querySelectorAll("input")];
}

function inputOf(form, feature) {
  return inputsOf(form).find((input) => input.dataset.feature === feature);
}

function rowOf(form) {
  const row = Object.create(null); // a feature may be called __proto__
  for (const input of inputsOf(form)) {
    const value = parseValue(input);
    if (value !== null) row[input.dataset.feature] = value;
  }
  return row;
}

function clear(form, result) {
  result.replaceChildren();
  result.classList.remove("failed");
  for (const input of inputsOf(form)) input.removeAttribute("aria-invalid");
}

function showPrediction(form, result, body) {
  const prediction = body.predictions[0];
  result.append(element("p", prediction.label, "label"));
  const ranked = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  for (const [name, probability] of ranked) {
    const line = element("div", undefined, "probability");
    const meter = element("meter");
    meter.value = probability;
    meter.setAttribute("aria-label", `probability of ${name}`);
    const percent = `${(100 * probability).toFixed(1)} %`;
    line.append(element("span", name), meter, element("span", percent));
    result.append(line);
  }
  for (const warning of body.warnings || []) {
    const kind = inputOf(form, warning.feature)?.dataset.kind;
    const range = warning.seen.join(kind === "category" ? ", " : " to ");
    const text = `Out of range: ${warning.feature} is ${warning.value}; in training: ${range}.`;
    result.append(element("p", text));
  }
}

function showError(form, result, body) {
  result.classList.add("failed");
  result.append(element("p", body.error));
  for (const problem of body.problems || []) {
    const text = `${problem.feature}: expected ${problem.expected}, got ${problem.got}`;
    result.append(element("p", text));
    inputOf(form, problem.feature)?.setAttribute("aria-invalid", "true");
  }
}

async function predict(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const result = form.querySelector(".result");
  clear(form, result);
  try {
    const response = await fetch(form.dataset.path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ instances: [rowOf(form)] }),
    });
    const body = await response.json();
    if (response.ok) showPrediction(form, result, body);
    else showError(form, result, body);
  } catch (error) {
    showError(form, result, { error: `No response: ${error.message}` });
  }
}

for (const form of document.querySelectorAll("form")) form.addEventListener("submit", predict);
