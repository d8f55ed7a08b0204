/** Ctrl+Enter (or ⌘+Enter) in the text area sends the form. */
export function sendByKey() {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.target.closest("#read-form")?.requestSubmit();
  });
}

/** On a narrow screen the answer lies below the form: bring it into view when it arrives. */
export function showAnswer() {
  document.addEventListener("htmx:afterSwap", (event) => {
    const answer = event.target;
    if (answer.id === "answer" && answer.getBoundingClientRect().top > innerHeight * 0.6) answer.scrollIntoView();
  });
}

/** A message about the last attempt goes when the next one starts. */
export function forgetErrors() {
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id !== "read-form") return;
    for (const message of event.target.querySelectorAll(".field-error")) message.remove();
    for (const field of event.target.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  });
}

/** The second half of a double click is no second wish. */
export function ignoreDoubleClicks() {
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest("#read-form button, .samples button")) event.preventDefault();
  });
}
