/** Tell screen readers what changed, once, and show what failed. */
export function announceChanges() {
  const said = document.getElementById("said");
  const toasts = document.getElementById("toasts");

  document.addEventListener("htmx:afterSettle", (event) => {
    const words = event.target.querySelector?.("[data-say]")?.dataset.say ?? event.target.dataset?.say;
    if (words && said.textContent !== words) said.textContent = words;
  });

  const show = (words) => {
    const notice = document.createElement("div");
    notice.className = "notice is-bad";
    notice.textContent = words;
    toasts.replaceChildren(notice);
  };
  document.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    show(xhr.getResponseHeader("X-Problem") ?? `The server answered ${xhr.status}.`);
  });
  document.addEventListener("htmx:sendError", () => show("The server does not answer. Is Hemline still running?"));
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) toasts.replaceChildren();
  });
}
