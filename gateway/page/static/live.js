export function open(main) { main.textContent = "live"; }
