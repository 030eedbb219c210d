export function open(main) { main.textContent = "workbench"; }
