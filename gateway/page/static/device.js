export function open(main) { main.textContent = "device"; }
