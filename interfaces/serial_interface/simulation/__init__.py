"""Serial devices that do not exist: a script describes what they say, answer, and do wrong."""
