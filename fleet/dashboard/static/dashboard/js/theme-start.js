// Applies the reader's chosen colour scheme before the first paint; a classic script, since modules run later.
{
  try {
    const chosen = localStorage.getItem("fleet.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be closed to the page; then the system's scheme stays.
  }
}
