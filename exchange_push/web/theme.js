// Runs before the first paint, so that nobody is blinded: the choice of last time, or else that of the system.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const read = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // no storage: the system's
    }
  };
  const apply = (theme) => {
    root.dataset.theme = theme ?? (dark.matches ? "dark" : "light");
    document.dispatchEvent(new Event("theme"));
  };
  apply(read());
  dark.addEventListener("change", () => apply(read()));
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => {
      const other = root.dataset.theme === "dark" ? "light" : "dark";
      button.setAttribute("aria-label", `Use ${other} colours`);
      button.title = `Use ${other} colours`;
    };
    say();
    button.addEventListener("click", () => {
      const theme = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // No storage: it holds until the page is left.
      }
      apply(theme);
      say();
    });
  });
})();
