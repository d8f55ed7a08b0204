const YEAR_S = 365 * 24 * 3600;

/** Switch colours in place; without JavaScript the same form asks the server to. */
export function chooseTheme() {
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form.themes");
    if (!form) return;
    event.preventDefault();
    const chosen = event.submitter.value;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const age = chosen === "auto" ? 0 : YEAR_S;
    document.cookie = `theme=${chosen}; Path=/; Max-Age=${age}; SameSite=Lax${secure}`;
    document.documentElement.dataset.theme = chosen;
    for (const button of form.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
  });
}
