"""The commands of `mqttgateway` but for the first: one module each, and what several of them need."""
