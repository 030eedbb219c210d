export function open(main) { main.textContent = "unknown"; }
